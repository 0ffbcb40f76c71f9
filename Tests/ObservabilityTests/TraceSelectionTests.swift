@testable import Observability
import NBDProtocol
import Testing

@testable import NBDServer

@Suite("The server's side of a trace filter")
struct TraceSelectionTests {
    private func record(
        _ command: Command = .write, offset: UInt64 = 4096, length: UInt64 = 512,
        nanoseconds: UInt64 = 1000
    ) -> TraceRecord {
        TraceRecord(
            connection: 3, export: "a", command: command, flags: .forceUnitAccess, offset: offset,
            length: length, receivedNanoseconds: 10_500, durationNanoseconds: nanoseconds,
            error: .none)
    }

    private func passes(_ name: String, _ value: String, _ record: TraceRecord) throws -> Bool {
        try TraceSelection(query: [(name, value)]).passes(record)
    }

    @Test("includes everything without a query")
    func all() { #expect(TraceSelection().passes(record())) }

    @Test(
        "includes by command, duration, disk, connection and range",
        arguments: [
            ("command", "write", true), ("command", "read,trim", false),
            ("command", "trim,write", true), ("min_latency", "1us", true),
            ("min_latency", "1001", false), ("min_latency", "2ms", false), ("export", "a", true),
            ("export", "", false), ("connection", "3", true), ("connection", "4", false),
            ("offset", "0-4095", false), ("offset", "0-4096", true), ("offset", "4607-", true),
            ("offset", "4608-", false), ("count", "5", true),
        ])
    func parts(name: String, value: String, isIn: Bool) throws {
        #expect(try passes(name, value, record()) == isIn)
    }

    @Test("accepts a range beyond the largest offset, and one of no bytes")
    func edges() throws {
        #expect(try passes("offset", "5-", record(offset: .max, length: 512)))
        #expect(try passes("offset", "4096-4096", record(length: 0)))
    }

    @Test(
        "rejects queries that are not valid",
        arguments: [
            ("comand", "read"), ("command", ""), ("command", "reed"), ("min_latency", "5 ms"),
            ("min_latency", "99999999999999999999s"), ("connection", "x"), ("offset", "5"),
            ("offset", "9-1"), ("count", "0"),
        ])
    func nonsense(name: String, value: String) {
        #expect(throws: TraceSelection.QueryError.self) {
            try TraceSelection(query: [(name, value)])
        }
    }
}
