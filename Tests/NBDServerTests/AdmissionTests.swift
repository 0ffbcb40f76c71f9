// Who may come in, and who has to make room.

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
        .process(.init(process: 1, user: user, groups: groups))
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

    @Test("users and groups admit whoever is one of either, and leave hosts alone")
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

    @Test("who has most in the handshake makes room, with the oldest of them")
    func crowd() throws {
        var crowd = Crowd()
        #expect(crowd.first == nil)
        let many = try host("192.0.2.1").source
        let few = try host("192.0.2.2").source
        crowd.add(1, from: few)
        crowd.add(3, from: many)
        // As many from either: the oldest of all.
        #expect(crowd.first == 1)
        crowd.add(2, from: many)
        #expect(crowd.first == 2)
        crowd.add(5, from: few)
        crowd.add(4, from: few)
        #expect(crowd.first == 1)
    }
}

@Suite("A crowd in the handshake")
struct CrowdTests {
    @Test("makes room for who comes, oldest first, and leaves those who are served alone")
    func crowdedOut() throws {
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
        #expect(events.ends == [.crowdedOut])
        try served.write([1, 2, 3], at: 0)
        // It has left the handshake: there is room for one beside the second.
        #expect(try second.isSilent(milliseconds: 50))
        let third = try TestClient(to: server)
        #expect(try third.isClosed())
        #expect(events.refusals == 1)
        #expect(try served.read(at: 0, count: 3) == [1, 2, 3])
    }

    @Test("has no place until it asks for an export, and then only if there is one")
    func noPlace() throws {
        var options = ServerOptions()
        options.maximumConnections = 1
        let events = EventRecord()
        let server = try makeServer(options: options, events: events)
        let slow = try TestClient(to: server)
        _ = try slow.receive(Greeting.encodedSize)
        let served = try TestClient(to: server, export: "disk")
        try slow.send([0, 0, 0, 3] + slow.option(.go, InfoRequest(exportName: "disk").encoded))
        #expect(try slow.isClosed())
        #expect(events.ends == [.connectionLimit(1)])
        try served.send(Request(.disconnect))
        #expect(try served.isClosed())
        _ = try TestClient(to: server, export: "disk")
    }

    @Test("of a thousand, one after the other, keeps nobody out")
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
        #expect(events.ends.count { $0 == .crowdedOut } >= 1000 - 4)
    }
}
