import NBDProtocol
import NBDServer
import Testing

@Suite("Requests on a socket")
struct TransmissionTests {
    @Test(
        "what was written is read back, at any offset and length",
        arguments: [
            (0, 1), (1, 511), (4095, 2), (4096, 4096), (8191, 70_000), (0, 1 << 20),
        ])
    func readsBack(offset: UInt64, count: Int) throws {
        let server = try makeServer(size: 2 << 20)
        let client = try TestClient(to: server, export: "disk")
        try client.write(pattern(count), at: offset)
        #expect(try client.read(at: offset, count: count) == pattern(count))
        // Not a byte beside it.
        if offset > 0 { #expect(try client.read(at: offset - 1, count: 1) == [0]) }
        #expect(try client.read(at: offset + UInt64(count), count: 1) == [0])
    }

    @Test("a request of 2 MiB, and one of 64, is served in one piece")
    func large() throws {
        let server = try makeServer(size: 72 << 20)
        let client = try TestClient(to: server, export: "disk")
        for count in [2 << 20, 64 << 20] {
            let data = [UInt8](repeating: UInt8(truncatingIfNeeded: count >> 20), count: count)
            try client.write(data, at: 4096)
            #expect(try client.read(at: 4096, count: count) == data)
        }
    }

    @Test(
        "the same requests in pieces of any length give the same replies",
        arguments: [1, 3, 27, 29, 1000])
    func pieces(count: Int) throws {
        let server = try makeServer()
        let client = try TestClient(to: server, export: "disk")
        try client.send(
            Request(.write, cookie: 1, offset: 10, length: 600).encoded + pattern(600)
                + Request(.read, cookie: 2, offset: 10, length: 600).encoded
                + Request(.trim, cookie: 3, offset: 9_000, length: 600).encoded
                + Request(.write, cookie: 4, offset: 1 << 20, length: 99).encoded + pattern(99)
                + Request(.read, cookie: 5, offset: 9, length: 601).encoded,
            pieces: count)
        #expect(try client.reply() == SimpleReply(cookie: 1))
        #expect(try client.reply() == SimpleReply(cookie: 2))
        #expect(try client.receive(600) == pattern(600))
        #expect(try client.reply() == SimpleReply(cookie: 3))
        #expect(try client.reply() == SimpleReply(error: .noSpace, cookie: 4))
        #expect(try client.reply() == SimpleReply(cookie: 5))
        #expect(try client.receive(601) == [0] + pattern(600))
    }

    @Test("128 requests at once on one connection are all answered, verified")
    func queueDepth() throws {
        let server = try makeServer()
        let client = try TestClient(to: server, export: "disk")
        var writes: [UInt8] = []
        var reads: [UInt8] = []
        for number in 0..<128 as Range<UInt64> {
            writes += Request(.write, cookie: number, offset: number * 4096, length: 4096).encoded
            writes += pattern(4096, seed: number + 1)
            reads += Request(.read, cookie: number, offset: number * 4096, length: 4096).encoded
        }
        try client.send(writes)
        for number in 0..<128 as Range<UInt64> {
            #expect(try client.reply() == SimpleReply(cookie: number))
        }
        try client.send(reads)
        for number in 0..<128 as Range<UInt64> {
            #expect(try client.reply() == SimpleReply(cookie: number))
            #expect(try client.receive(4096) == pattern(4096, seed: number + 1))
        }
    }

    @Test(
        "errors carry their value and the cookie, and the connection lives",
        arguments: [
            (Request(.read, offset: 1 << 20, length: 1), .invalid),
            (Request(.read, offset: .max - 10, length: 512), .invalid),
            (Request(.trim, offset: 1 << 20, length: 1), .invalid),
            (Request(.cache, offset: 1 << 20, length: 1), .invalid),
            (Request(.writeZeroes, offset: 1 << 20, length: 1), .noSpace),
            (Request(.read, offset: 0, length: 0), .invalid),
            (Request(.blockStatus, offset: 0, length: 512), .invalid),
            (Request(Command(rawValue: 0x4242), offset: 0, length: 0xffff_ffff), .invalid),
            (Request(.read, flags: CommandFlags(rawValue: 4), offset: 0, length: 512), .invalid),
            (Request(.flush, flags: .noHole), .invalid),
            (Request(.read, offset: 0, length: 64 << 20 + 1), .invalid),
        ] as [(Request, WireError)])
    func errors(request: Request, error: WireError) throws {
        let server = try makeServer()
        let client = try TestClient(to: server, export: "disk")
        var request = request
        request.cookie = 0x1122_3344_5566_7788
        #expect(try client.call(request) == error)
        try client.write([1], at: 0)
    }

    @Test(
        "a write that is refused has its payload read away, up to twice the maximum",
        arguments: [
            (1 << 20, 4096, .noSpace), (0, 64 << 20 + 1, .invalid), (0, 128 << 20, .invalid),
        ] as [(UInt64, Int, WireError)])
    func refusedWrite(offset: UInt64, count: Int, error: WireError) throws {
        let server = try makeServer()
        let client = try TestClient(to: server, export: "disk")
        try client.write(pattern(4096), at: 0)
        let request = Request(.write, cookie: 9, offset: offset, length: UInt64(count))
        #expect(try client.call(request, [UInt8](repeating: 0x25, count: count)) == error)
        #expect(try client.read(at: 0, count: 4096) == pattern(4096))
    }

    @Test("a write that claims more than that ends the connection")
    func enormousWrite() throws {
        let events = EventRecord()
        let server = try makeServer(events: events)
        let client = try TestClient(to: server, export: "disk")
        try client.send(Request(.write, offset: 0, length: 128 << 20 + 1))
        #expect(try client.isClosed())
        #expect(events.ends == [.payloadTooLong(128 << 20 + 1)])
    }

    @Test("a read-only export refuses every change with EPERM, reads its payload away, and reads")
    func readOnly() throws {
        let server = try makeServer(isReadOnly: true)
        let client = try TestClient(to: server, export: "disk")
        let write = Request(.write, cookie: 1, offset: 0, length: 4096)
        #expect(try client.call(write, pattern(4096)) == .notPermitted)
        #expect(try client.call(Request(.trim, offset: 0, length: 1)) == .notPermitted)
        #expect(try client.call(Request(.writeZeroes, offset: 0, length: 1)) == .notPermitted)
        #expect(try client.call(Request(.flush)) == .none)
        #expect(try client.read(at: 0, count: 4096).allSatisfy { $0 == 0 })
    }

    @Test(
        "write zeroes reads back as zeroes, trim too, and neither touches a byte beside it",
        arguments: [
            (.writeZeroes, []), (.writeZeroes, .noHole), (.writeZeroes, .fastZero),
            (.writeZeroes, [.noHole, .fastZero, .forceUnitAccess]), (.trim, []),
            (.trim, .forceUnitAccess),
        ] as [(Command, CommandFlags)], [false, true])
    func zeroing(how: (command: Command, flags: CommandFlags), isSparse: Bool) throws {
        let server = try makeServer(isSparse: isSparse)
        let client = try TestClient(to: server, export: "disk")
        let ranges: [(UInt64, Int)] = [
            (0, 1), (100, 200), (4000, 200), (4096, 4096), (4095, 4098), (5000, 50_000),
            ((1 << 20) - 5000, 5000), (0, 1 << 20),
        ]
        for (offset, count) in ranges {
            var expected = pattern(1 << 20)
            try client.write(expected, at: 0)
            let request = Request(
                how.command, flags: how.flags, offset: offset, length: UInt64(count))
            #expect(try client.call(request) == .none)
            expected.replaceSubrange(
                Int(offset)..<Int(offset) + count, with: repeatElement(0, count: count))
            #expect(try client.read(at: 0, count: 1 << 20) == expected)
        }
    }

    @Test("disconnect has no reply; what came before it is answered")
    func disconnect() throws {
        let events = EventRecord()
        let server = try makeServer(events: events)
        let client = try TestClient(to: server, export: "disk")
        var disconnect = Request(.disconnect, cookie: 9)
        disconnect.offset = 12345
        disconnect.length = 678
        try client.send(Request(.flush, cookie: 1).encoded + disconnect.encoded)
        #expect(try client.reply() == SimpleReply(cookie: 1))
        #expect(try client.isClosed())
        #expect(events.ends == [.disconnected])
    }

    @Test("a request without its magic ends the connection, after the replies before it")
    func badMagic() throws {
        let events = EventRecord()
        let server = try makeServer(events: events)
        let client = try TestClient(to: server, export: "disk")
        try client.send(Request(.flush, cookie: 1).encoded + [UInt8](repeating: 0x58, count: 28))
        #expect(try client.reply() == SimpleReply(cookie: 1))
        #expect(try client.isClosed())
        #expect(events.ends == [.requestMagic])
    }

    @Test("a client that goes away in the middle of a message takes nothing with it")
    func goneInTheMiddle() throws {
        let events = EventRecord()
        let server = try makeServer(events: events)
        let message = Request(.write, offset: 8192, length: 100_000).encoded + pattern(50_000)
        for count in [1, 27, 28, 29, message.count] {
            let client = try TestClient(to: server, export: "disk")
            try client.send(Array(message.prefix(count)))
            client.finishSending()
            #expect(try client.isClosed())
        }
        #expect(events.ends.allSatisfy { $0 == .closedInMessage })
        #expect(events.ends.count == 5)
        // The range that was being written may be in any state; nothing else is.
        let client = try TestClient(to: server, export: "disk")
        #expect(try client.read(at: 0, count: 8192).allSatisfy { $0 == 0 })
    }

    @Test("two connections see each other's writes as soon as they are answered")
    func severalConnections() throws {
        let server = try makeServer()
        let one = try TestClient(to: server, export: "disk")
        let other = try TestClient(to: server, export: "")
        for round in 0..<100 as Range<UInt64> {
            try one.write(pattern(3000, seed: round), at: round * 1000)
            #expect(try other.read(at: round * 1000, count: 3000) == pattern(3000, seed: round))
        }
    }

    @Test("replies are sent though the rest of a payload is still to come")
    func repliesBeforePayload() throws {
        let server = try makeServer()
        let client = try TestClient(to: server, export: "disk")
        let write = Request(.write, cookie: 2, offset: 0, length: 1000).encoded
        try client.send(Request(.flush, cookie: 1).encoded + write + pattern(10))
        #expect(try client.reply() == SimpleReply(cookie: 1))
        try client.send(Array(pattern(1000).dropFirst(10)))
        #expect(try client.reply() == SimpleReply(cookie: 2))
        let refused = Request(.write, cookie: 4, offset: 1 << 20, length: 1000).encoded
        try client.send(Request(.flush, cookie: 3).encoded + refused + pattern(10))
        #expect(try client.reply() == SimpleReply(cookie: 3))
    }

    @Test("a client that reads nothing holds up nobody else")
    func stuckReader() throws {
        let server = try makeServer(size: 32 << 20)
        let stuck = try TestClient(to: server, export: "disk")
        try stuck.send(Request(.read, cookie: 1, offset: 0, length: 32 << 20))
        let other = try TestClient(to: server, export: "disk")
        try other.write(pattern(4096), at: 0)
        #expect(try other.read(at: 0, count: 4096) == pattern(4096))
    }
}
