import NBDServer
import ProgramSupport
import Testing

@testable import DiskContents

@Suite("A disk that a server sends, as a template")
struct ReceivedDiskTests {
    /// Returns little-endian words as bytes.
    private func words(_ words: UInt64...) -> [UInt8] {
        words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }

    private func receive(_ stream: [UInt8]) throws -> ReceivedDisk {
        var pieces = [stream]
        return try ReceivedDisk { () throws(Failure) in pieces.popLast() }
    }

    @Test("has its data and its holes")
    func whole() throws {
        let stream =
            words(1 << 30, 8192, 4096, 4096) + [UInt8](repeating: 3, count: 4096)
            + words(1 << 29, 4096) + [UInt8](repeating: 4, count: 4096) + words(1 << 30, 0)
        let template = try receive(stream).makeTemplate()
        #expect(template.size == 1 << 30 && template.dataBytes == 8192)
        let clone = try RamDisk(cloning: template)
        #expect(try clone.read(at: 4095, count: 2) == [0, 3])
        #expect(try clone.read(at: 1 << 29, count: 1) == [4])
        #expect(try clone.read(at: (1 << 29) + 4096, count: 1) == [0])
    }

    @Test(
        "is refused when there cannot be one",
        arguments: [
            (1 << 62, 1 << 62, "not enough memory for a disk of 4 EiB"),
            (1000, 1000, "cannot make a disk of 1000 bytes"),
        ] as [(UInt64, UInt64, String)])
    func tooLarge(size: UInt64, data: UInt64, reason: String) throws {
        let disk = try receive(words(size, data))
        let failure = #expect(throws: Failure.self) { _ = try disk.makeTemplate() }
        #expect(failure?.kind == .system && failure?.sentence.contains(reason) == true)
    }

    @Test("is refused when more data comes than was announced, for which there may be no memory")
    func tooMuch() throws {
        let stream =
            words(1 << 20, 4096, 0, 4096) + [UInt8](repeating: 3, count: 4096)
            + words(8192, 1) + [4] + words(1 << 20, 0)
        let disk = try receive(stream)
        let failure = #expect(throws: Failure.self) { _ = try disk.makeTemplate() }
        #expect(failure?.sentence.contains("more data than it has announced") == true)
    }

    @Test("is refused when the stream ends too early", arguments: [16, 24, 32, 4000])
    func cut(count: Int) throws {
        let stream = words(1 << 20, 4096, 8192, 4096) + [UInt8](repeating: 3, count: 4096)
        let disk = try receive(Array(stream.prefix(count)))
        let failure = #expect(throws: Failure.self) { _ = try disk.makeTemplate() }
        #expect(failure?.sentence.contains("has not sent all of the disk") == true)
    }
}
