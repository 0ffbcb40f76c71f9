import NBDProtocol
import NBDServer
import Testing

@Suite("The handshake on a socket")
struct HandshakeTests {
    @Test("the same reply in one piece and one byte at a time", arguments: [Int.max, 7, 1])
    func pieces(count: Int) throws {
        let server = try makeServer()
        let client = try TestClient(to: server)
        _ = try client.receive(Greeting.encodedSize)
        let information = InfoRequest(exportName: "disk", types: [.blockSize]).encoded
        try client.send(
            [0, 0, 0, 3] + client.option(.list)
                + client.option(OptionCode(rawValue: 99), [1, 2, 3])
                + client.option(.info, information) + client.option(.go, information)
                + Request(.write, cookie: 1, offset: 5, length: 3).encoded + [7, 8, 9]
                + Request(.read, cookie: 2, offset: 4, length: 5).encoded,
            pieces: count)
        let codes = try (0..<9).map { _ in try client.optionReply().code }
        #expect(codes == [.server, .ack, .unsupported, .info, .info, .ack, .info, .info, .ack])
        // Requests that were sent ahead of the answer to GO are served all the same.
        #expect(try client.reply() == SimpleReply(cookie: 1))
        #expect(try client.reply() == SimpleReply(cookie: 2))
        #expect(try client.receive(5) == [0, 7, 8, 9, 0])
    }

    @Test("an option over the limit is discarded, and the handshake continues")
    func tooBig() throws {
        let server = try makeServer()
        let client = try TestClient(to: server)
        _ = try client.receive(Greeting.encodedSize)
        try client.send([0, 0, 0, 1])
        try client.send(client.option(.go, [UInt8](repeating: 0x41, count: 1 << 20)))
        #expect(try client.optionReply().code == .tooBig)
        try client.send(client.option(.list))
        #expect(try client.optionReply().code == .server)
    }

    @Test("a client that is silent, or slow, is cut off at the deadline")
    func deadline() throws {
        var options = ServerOptions()
        options.handshakeTimeout = .milliseconds(300)
        let events = EventRecord()
        let server = try makeServer(options: options, events: events)
        let silent = try TestClient(to: server)
        let slow = try TestClient(to: server)
        _ = try silent.receive(Greeting.encodedSize)
        _ = try slow.receive(Greeting.encodedSize)
        try slow.send([0, 0, 0, 3, 0x49])
        #expect(try silent.isClosed())
        #expect(try slow.isClosed())
        #expect(events.ends == [.handshakeTimeout, .handshakeTimeout])
    }

    @Test("a client that takes no replies is cut off at the deadline too")
    func deadlineForReader() throws {
        var options = ServerOptions()
        options.handshakeTimeout = .milliseconds(300)
        let events = EventRecord()
        let long = String(repeating: "x", count: 4096)
        let disk = try RamDisk(size: 4096)
        let exports = (0..<200).map { Export(name: "\($0)", description: long, disk: disk) }
        let server = try Server(
            exports: exports, options: options, onEvent: { events.record($0) })
        try server.start()
        let client = try TestClient(to: server)
        try client.send([0, 0, 0, 3])
        for _ in 0..<4 { try client.send(client.option(.list)) }
        for _ in 0..<100 where events.ends.isEmpty { try pause(milliseconds: 50) }
        #expect(events.ends == [.handshakeTimeout])
    }

    @Test(
        "a protocol error is reported, and ends that connection alone",
        arguments: [
            ([0, 0, 0, 4], .handshake(.clientFlags(4))),
            ([0, 0, 0, 3] + [UInt8](repeating: 0, count: 16), .handshake(.optionMagic)),
            (
                [0, 0, 0, 3] + OptionHeader(code: .exportName, length: 1).encoded + [0x3f],
                .handshake(.exportName)
            ),
        ] as [([UInt8], DisconnectReason)])
    func violations(input: [UInt8], end: DisconnectReason) throws {
        let events = EventRecord()
        let server = try makeServer(events: events)
        let bystander = try TestClient(to: server, export: "disk")
        let client = try TestClient(to: server)
        _ = try client.receive(Greeting.encodedSize)
        try client.send(input)
        #expect(try client.isClosed())
        #expect(events.ends == [end])
        try bystander.write([1, 2, 3], at: 0)
    }

    @Test("EXPORT_NAME after fixed newstyle leads to the same disk")
    func exportName() throws {
        let server = try makeServer()
        let client = try TestClient(to: server)
        _ = try client.receive(Greeting.encodedSize)
        try client.send([0, 0, 0, 1] + client.option(.exportName, Array("disk".utf8)))
        let answer = try client.receive(134)
        #expect(answer.prefix(8) == [0, 0, 0, 0, 0, 0x10, 0, 0])
        #expect(answer.suffix(124).allSatisfy { $0 == 0 })
        try client.write(pattern(100), at: 1)
        #expect(try client.read(at: 1, count: 100) == pattern(100))
    }

    @Test("a client that sends ABORT and disconnects before the reply disturbs no other")
    func abortAndGone() throws {
        let events = EventRecord()
        let server = try makeServer(events: events)
        do {
            let client = try TestClient(to: server)
            try client.send([0, 0, 0, 3] + client.option(.abort))
        }
        for _ in 0..<100 where events.ends.isEmpty { try pause(milliseconds: 20) }
        #expect(events.ends.count == 1)
        _ = try TestClient(to: server, export: "disk")
    }
}
