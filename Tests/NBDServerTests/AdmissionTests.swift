import LinuxIO
import NBDProtocol
import Testing

@testable import NBDServer

@Suite("Admission")
struct AdmissionTests {
    private func host(_ text: String) throws -> Peer {
        .host(try #require(try SocketAddress.resolve(host: text, port: 4000).first))
    }

    private func process(_ user: UInt32, _ groups: Set<UInt32> = []) -> Peer {
        .process(.init(pid: 1, uid: user, gids: groups))
    }

    @Test("a policy that says nothing admits everybody")
    func everybody() throws {
        let policy = AdmissionPolicy()
        #expect(try policy.admits(host("192.0.2.1")))
        #expect(try policy.admits(host("2001:db8::1")))
        #expect(policy.admits(process(0)))
        #expect(policy.admits(process(65_534)))
    }

    @Test("networks admit their hosts, and leave processes alone")
    func networks() throws {
        var policy = AdmissionPolicy()
        policy.networks = [try IPNetwork("192.0.2.0/24"), try IPNetwork("2001:db8::/32")]
        #expect(try policy.admits(host("192.0.2.9")))
        #expect(try policy.admits(host("::ffff:192.0.2.9")))
        #expect(try policy.admits(host("2001:db8::9")))
        #expect(try !policy.admits(host("192.0.3.9")))
        #expect(try !policy.admits(host("127.0.0.1")))
        #expect(try !policy.admits(host("::1")))
        #expect(policy.admits(process(65_534)))
    }

    @Test("users and groups admit a process that matches either, and leave hosts alone")
    func usersAndGroups() throws {
        var policy = AdmissionPolicy()
        policy.users = [1000]
        #expect(policy.admits(process(1000)))
        #expect(!policy.admits(process(1001, [1000])))
        #expect(!policy.admits(process(0, [0])))
        policy.groups = [50, 60]
        #expect(policy.admits(process(1000, [7])))
        #expect(policy.admits(process(1001, [7, 60])))
        #expect(!policy.admits(process(1001, [7])))
        policy.users = []
        #expect(!policy.admits(process(1000, [7])))
        #expect(policy.admits(process(1000, [50])))
        #expect(try policy.admits(host("192.0.2.1")))
    }

    @Test("the source with most connections in the handshake loses its oldest")
    func crowd() throws {
        var crowd = HandshakeEviction()
        #expect(crowd.first == nil)
        let many = try host("192.0.2.1").source
        let few = try host("192.0.2.2").source
        crowd.add(1, from: few, milliseconds: 0)
        crowd.add(3, from: many, milliseconds: 0)
        // As many from either: the oldest of all.
        #expect(crowd.first == 1)
        crowd.add(2, from: many, milliseconds: 0)
        #expect(crowd.first == 2)
        crowd.add(5, from: few, milliseconds: 0)
        crowd.add(4, from: few, milliseconds: 0)
        #expect(crowd.first == 1)
    }

    @Test("a source of many quick connections does not make room for sources that hold one each")
    func quick() throws {
        var crowd = HandshakeEviction()
        for number in 1...100 as ClosedRange<UInt64> {
            let source = try host("198.51.100.\(number)").source
            crowd.add(number, from: source, milliseconds: 9_000)
        }
        let quick = try host("192.0.2.1").source
        for number in 101...116 as ClosedRange<UInt64> {
            crowd.add(number, from: quick, milliseconds: 5)
        }
        #expect(crowd.first == 1)
    }

    @Test("a source that fills the handshake does not evict a slow client of another source")
    func flood() throws {
        var crowd = HandshakeEviction()
        crowd.add(1, from: try host("192.0.2.1").source, milliseconds: 5_000)
        let flood = try host("192.0.2.2").source
        for number in 2...256 as ClosedRange<UInt64> {
            crowd.add(number, from: flood, milliseconds: 1)
        }
        #expect(crowd.first == 2)
    }
}

@Suite("A crowd in the handshake")
struct CrowdTests {
    @Test("loses its oldest client to a new one, and clients that are served stay")
    func evicted() throws {
        var options = ServerOptions()
        options.maximumHandshakes = 2
        options.maximumConnections = 1
        let events = EventRecord()
        let server = try makeServer(options: options, events: events)
        let first = try TestClient(to: server)
        _ = try first.receive(Greeting.encodedSize)
        let second = try TestClient(to: server)
        _ = try second.receive(Greeting.encodedSize)
        let served = try TestClient(to: server, export: "disk")
        #expect(try first.isClosed())
        #expect(events.ends == [.evicted])
        try served.write([1, 2, 3], at: 0)
        // It has left the handshake: there is room for one beside the second.
        #expect(try second.isSilent(milliseconds: 50))
        let third = try TestClient(to: server)
        #expect(try third.isClosed())
        #expect(events.refusals == 1)
        #expect(try served.read(at: 0, count: 3) == [1, 2, 3])
    }

    /// A server with one place, which is taken by the last, while the one before it is in the handshake.
    private func fullServer(
        _ events: EventRecord
    ) throws -> (server: Server, slow: TestClient, served: TestClient) {
        var options = ServerOptions()
        options.maximumConnections = 1
        let server = try makeServer(options: options, events: events)
        let slow = try TestClient(to: server)
        _ = try slow.receive(Greeting.encodedSize)
        return (server, slow, try TestClient(to: server, export: "disk"))
    }

    @Test("has no place until it asks for an export, and then only if there is one")
    func noPlace() throws {
        let events = EventRecord()
        let (server, slow, served) = try fullServer(events)
        let go = slow.option(.go, InfoRequest(exportName: "disk").encoded)
        try slow.send([0, 0, 0, 3] + go)
        #expect(try slow.optionReply().code == .policy)
        #expect(events.refusals == 1)
        #expect(server.statistics().rejected == 1)
        try served.send(Request(.disconnect))
        #expect(try served.isClosed())
        // It may ask again.
        try slow.send(go)
        var code = try slow.optionReply().code
        while code == .info { code = try slow.optionReply().code }
        #expect(code == .ack)
        try slow.write([1], at: 0)
        #expect(server.statistics().violations == 0)
    }

    @Test("has no place either when it asks in a way that cannot be told no")
    func noPlaceByName() throws {
        let events = EventRecord()
        let (server, slow, served) = try fullServer(events)
        try slow.send([0, 0, 0, 3] + slow.option(.exportName, Array("disk".utf8)))
        #expect(try slow.isClosed())
        #expect(events.ends == [.noPlace])
        #expect(server.statistics().rejected == 1)
        #expect(server.statistics().violations == 0)
        try served.write([1], at: 0)
    }

    @Test("of a thousand, one after the other, locks no other client out")
    func thousand() throws {
        var options = ServerOptions()
        options.maximumHandshakes = 4
        let events = EventRecord()
        let server = try makeServer(options: options, events: events)
        var silent: [TestClient] = []
        for number in 1...1000 {
            silent.append(try TestClient(to: server))
            if number.isMultiple(of: 100) {
                let client = try TestClient(to: server, export: "disk")
                try client.write([1], at: 0)
            }
        }
        server.stop()
        #expect(events.ends.count { $0 == .evicted } >= 1000 - 4)
    }
}
