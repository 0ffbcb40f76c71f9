import NBDProtocol
import NBDServer
import Testing

@Suite("A client that stalls")
struct StallTests {
    private func server(_ events: EventRecord, milliseconds: Int = 200) throws -> Server {
        var options = ServerOptions()
        options.stallTimeout = milliseconds == 0 ? nil : .milliseconds(milliseconds)
        return try makeServer(size: 32 << 20, options: options, events: events)
    }

    @Test(
        "in the middle of a message is cut off",
        arguments: [
            Array(Request(.read, length: 1).encoded.prefix(1)),
            Array(Request(.read, length: 1).encoded.prefix(27)),
            Request(.write, length: 100).encoded,
            Request(.write, length: 100).encoded + [1, 2, 3],
            Request(.write, length: 1 << 20).encoded + [UInt8](repeating: 1, count: 300_000),
            // A payload that is thrown away: it is beyond the end.
            Request(.write, offset: 32 << 20, length: 100).encoded + [1, 2, 3],
        ])
    func message(bytes: [UInt8]) throws {
        let events = EventRecord()
        let server = try server(events)
        let client = try TestClient(to: server, export: "disk")
        try client.send(bytes)
        #expect(try client.isClosed())
        #expect(events.ends == [.stalled])
        _ = try TestClient(to: server, export: "disk")
    }

    @Test("and does not take its replies is cut off")
    func replies() throws {
        let events = EventRecord()
        let server = try server(events)
        let client = try TestClient(to: server, export: "disk")
        try client.send(Request(.read, length: 32 << 20))
        for _ in 0..<400 where events.ends.isEmpty { try pause(milliseconds: 25) }
        #expect(events.ends == [.stalled])
    }

    @Test("between two messages may do so for as long as it likes")
    func idle() throws {
        let events = EventRecord()
        let server = try server(events, milliseconds: 50)
        let client = try TestClient(to: server, export: "disk")
        for _ in 0..<3 {
            try pause(milliseconds: 200)
            try client.write([1, 2, 3], at: 0)
        }
        #expect(events.ends.isEmpty)
    }

    @Test("less than the time, again and again, is only slow")
    func slow() throws {
        let events = EventRecord()
        let server = try server(events, milliseconds: 2_000)
        let client = try TestClient(to: server, export: "disk")
        for byte in Request(.write, cookie: 1, length: 4).encoded + [1, 2, 3, 4] {
            try client.send([byte])
            try pause(milliseconds: 75)
        }
        #expect(try client.reply() == SimpleReply(cookie: 1))
        #expect(events.ends.isEmpty)
    }
}
