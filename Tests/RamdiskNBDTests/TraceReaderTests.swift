// The stream of a trace, and what is asked for.

@testable import Observability
@testable import ProgramSupport
@testable import ObservabilityClient
import Testing

@testable import RamdiskNBD

@Suite("A stream of a trace") struct TraceReaderTests {
    private static let lines = [
        #"{"type":"start","startUnixSeconds":1.5,"startMonotonicNanoseconds":7,"pid":1,"version":"1"}"#,
        #"{"type":"request","timeNanoseconds":1,"connection":2,"export":"ü","command":"write_zeroes","#
            + #""offset":18446744073709551615,"lengthBytes":4,"flags":["fua"],"#
            + #""durationNanoseconds":5,"error":"EIO"}"#,
        #"{"type":"end","timeNanoseconds":9,"toldRequests":1,"droppedRequests":8}"#,
    ]

    @Test("is read in pieces of any size", arguments: [1, 2, 7, 100, 10_000])
    func pieces(size: Int) throws {
        let bytes = Array((Self.lines.joined(separator: "\n") + "\n").utf8)
        var reader = TraceReader()
        var read: [TraceLine] = []
        var raw: [String] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            try reader.take(Array(bytes[start..<min(start + size, bytes.count)])) { text, line in
                raw.append(String(decoding: text, as: UTF8.self))
                read.append(line)
            }
        }
        let event = TraceEvent.some(
            .writeZeroes, at: 1, offset: .max, length: 4, connection: 2, export: "ü", duration: 5,
            flags: ["fua"], error: "EIO")
        #expect(raw == Self.lines)
        #expect(
            read == [
                .start(
                    TraceStart(
                        startUnixSeconds: 1.5, startMonotonicNanoseconds: 7, pid: 1, version: "1")),
                .request(event),
                .end(TraceStatus(timeNanoseconds: 9, toldRequests: 1, droppedRequests: 8)),
            ])
    }

    @Test("with a line that says nothing, or has no end, is refused")
    func wrong() {
        for bytes in [Array("{}\n".utf8), [UInt8](repeating: 32, count: TraceReader.lineLimit + 1)]
        {
            var reader = TraceReader()
            #expect(throws: Failure.self) { try reader.take(bytes) { _, _ in } }
        }
    }

    @Test("is asked for with what is wanted of it")
    func filter() {
        #expect(TraceFilter().target == "/trace")
        let filter = TraceFilter(
            commands: [.write, .writeZeroes], minimumNanoseconds: 100_000, export: "a b/ü",
            connection: 7, offsets: ByteRange(argument: "1M-2M"), count: 9)
        #expect(
            filter.target == "/trace?command=write,write_zeroes&min_latency=100000ns"
                + "&export=a%20b%2F%C3%BC&connection=7&offset=1048576-2097152&count=9")
        #expect(TraceFilter(export: "").target == "/trace?export=")
        #expect(
            TraceFilter(offsets: ByteRange(argument: "4K-")).target == "/trace?offset=4096-")
    }

    @Test("has options that are ranges and formats")
    func arguments() {
        for wrong in ["", "-", "1", "2-1", "-5", "1-2-3", "x-y"] {
            #expect(ByteRange(argument: wrong) == nil, "\(wrong)")
        }
        #expect(TraceFileFormat(path: "a.b/work.iolog") == .iolog)
        #expect(TraceFileFormat(path: "/x/work.JSON") == .chrome)
        #expect(TraceFileFormat(path: "/x.json/work") == nil)
        #expect(CommandName(argument: "write-zeroes") == .writeZeroes)
        #expect(CommandName(argument: "erase") == nil)
    }
}
