import Foundation
import Harness
import LinuxIO
import NBDProtocol
import NBDServer
import Testing

@Suite("Embedding")
struct EmbeddingTests {
    @Test("the example runs, and is the README's and the documentation's")
    func runsExample() throws {
        try example()
        let example = try lines(of: "Tests/NBDServerTests/Example.swift")
        let imports = example.filter { $0.hasPrefix("import ") }
        let start = try #require(example.firstIndex { $0.hasPrefix("func example") })
        let body = example[(start + 1)...].prefix { $0 != "}" }.map { String($0.dropFirst(4)) }
        let block = imports + [""] + body
        #expect(
            try self.block(in: lines(of: "README.md"), after: "## Watch it work, embed it") == block
        )
        let documentation = try lines(of: "Sources/NBDServer/Server/Server.swift")
            .filter { $0.hasPrefix("///") }.map { String($0.dropFirst(4)) }
        #expect(try self.block(in: documentation, after: "An NBD server.") == block)
        let article = try lines(of: "Sources/NBDServer/NBDServer.docc/Embedding.md")
        #expect(try self.block(in: article, after: "## Serve a disk") == block)
    }

    @Test("a disk can be read and written from code", arguments: [false, true])
    func access(isSparse: Bool) throws {
        let disk = try RamDisk(size: 1 << 30, isSparse: isSparse)
        try disk.write([1, 2, 3], at: 4095)
        #expect(try disk.read(at: 4094, count: 5) == [0, 1, 2, 3, 0])
        // Many pieces, of which some are empty.
        for index in 0..<3000 as Range<UInt64> { try disk.write([9], at: index << 13) }
        let bytes = try disk.read(at: 0, count: 3000 << 13)
        #expect(bytes.count == 3000 << 13)
        #expect(bytes.count { $0 == 9 } == 3000)
        #expect(try disk.read(at: disk.size, count: 0) == [])
        try disk.write([], at: disk.size)
    }

    @Test("what is not inside the disk is an error, and nothing changes")
    func bounds() throws {
        let disk = try RamDisk(size: 8192)
        for (offset, count) in [(8191, 2), (8192, 1), (.max, 1), (0, 8193)] as [(UInt64, Int)] {
            let error = RamDisk.AccessError.beyondEnd(offset: offset, count: count, size: 8192)
            #expect(throws: error) { try disk.read(at: offset, count: count) }
            #expect(throws: error) {
                try disk.write([UInt8](repeating: 1, count: count), at: offset)
            }
        }
        #expect(throws: RamDisk.AccessError.self) { try disk.read(at: 0, count: -1) }
        #expect(disk.isBlank)
    }

    @Test("figures and requests are printed in a line")
    func descriptions() throws {
        let figures = ActivityStatistics()
        #expect("\(figures)" == "0 requests, 0 errors, 0 bytes read, 0 bytes written")
        #expect(String(reflecting: figures).utf8.count < 100)
        #expect("\(ServerStatistics.self)" == "ServerStatistics")
        #expect(
            "\(Command.writeZeroes), \(Command(rawValue: 99))" == "NBD_CMD_WRITE_ZEROES, command 99"
        )
        #expect("\(WireError.noSpace)" == "NBD_ENOSPC")
    }

    @Test(
        "the library exports no function that keeps GnuTLS from initializing itself; the program does"
    )
    func initialization() async throws {
        let name = "_gnutls_global_init_skip"
        let products = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
            .deletingLastPathComponent()
        let nm = Program("nm", package: "binutils")
        let objects = products.appending(path: "NBDServer.build").path
        let files = try FileManager.default.contentsOfDirectory(atPath: objects)
            .filter { $0.hasSuffix(".o") }.map { "\(objects)/\($0)" }
        try #require(!files.isEmpty)
        let library = try await nm.run(["--defined-only"] + files)
        #expect(library.output.contains("Server"))
        #expect(!library.output.contains(name))
        let program = try await nm.run(
            ["--dynamic", "--defined-only", products.appending(path: "ramdisk-nbd").path])
        #expect(program.output.contains(name))
    }

    private func lines(of file: String) throws -> [String] {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: file), encoding: .utf8)
        return text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// The first block of Swift behind a line.
    private func block(in lines: [String], after title: String) throws -> [String] {
        let start = try #require(lines.firstIndex(of: title))
        let rest = lines[start...].drop { $0 != "```swift" }.dropFirst()
        return Array(rest.prefix { $0 != "```" })
    }
}
