import Glibc
import SystemPackage
import Testing

@testable import LinuxIO

@Suite("Networks")
struct NetworkTests {
    @Test(
        "have the addresses that begin with their bits, and no others",
        arguments: [
            ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0", "192.0.1.255", "::1"]),
            ("192.0.2.7", ["192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
            ("192.0.2.7/32", ["192.0.2.7"], ["192.0.2.6"]),
            ("192.0.2.0/25", ["192.0.2.127"], ["192.0.2.128"]),
            ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1"]),
            ("10.0.0.0/8", ["10.255.0.1", "::ffff:10.1.2.3"], ["11.0.0.0", "::a00:1"]),
            ("::ffff:10.0.0.0/104", ["10.255.0.1"], ["11.0.0.0", "::1"]),
            ("::1", ["::1"], ["::2", "0.0.0.1", "127.0.0.1"]),
            ("::/0", ["::1", "ffff::"], ["0.0.0.0", "127.0.0.1", "::ffff:1.2.3.4"]),
            ("2001:db8::/32", ["2001:db8:ffff::1"], ["2001:db9::", "32.1.13.184"]),
            ("2001:db8::/64", ["2001:db8::ffff:0:0:1"], ["2001:db8:0:1::"]),
            ("2001:db8::8000:0:0:0/65", ["2001:db8::ffff:0:0:1"], ["2001:db8::7fff:0:0:1"]),
            ("fe80::/10", ["fe80::1", "febf::1"], ["fec0::1"]),
        ])
    func matching(network: String, inside: [String], outside: [String]) throws {
        let network = try IPNetwork(network)
        for text in inside {
            let address = try #require(IPAddress(text))
            #expect(network.contains(address), "\(text)")
        }
        for text in outside {
            let address = try #require(IPAddress(text))
            #expect(!network.contains(address), "\(text)")
        }
    }

    @Test(
        "that are none say which half is wrong",
        arguments: [
            ("", .address), ("/8", .address), ("localhost", .address), ("10.0.0", .address),
            ("10.0.0.0.0/8", .address), ("10.0.0.256/32", .address), (" 10.0.0.1", .address),
            ("::g/8", .address), ("1.2.3.4\0/8", .address), ("fe80::1%lo", .address),
            ("10.0.0.0/", .prefix), ("10.0.0.0/33", .prefix), ("10.0.0.0/-1", .prefix),
            ("10.0.0.0/8/8", .prefix), ("::/129", .prefix), ("::/+1", .prefix),
            ("10.0.0.0/255.0.0.0", .prefix), ("::/99999999999999999999", .prefix),
        ] as [(String, IPNetwork.ParseError)])
    func wrong(text: String, error: IPNetwork.ParseError) {
        #expect(throws: error) { try IPNetwork(text) }
    }

    @Test("with bits beyond their prefix are not guessed at")
    func bitsBeyondPrefix() throws {
        let expected = IPNetwork.ParseError.bitsBeyondPrefix(
            network: try IPNetwork("10.0.0.0/8"), address: try IPNetwork("10.1.2.3"))
        #expect(throws: expected) { try IPNetwork("10.1.2.3/8") }
    }

    @Test(
        "are written in the notation in which they are read",
        arguments: ["10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "::/0", "2001:db8::/32", "::1"])
    func description(text: String) throws {
        let written = try "\(IPNetwork(text))"
        #expect(written == text)
    }
}

@Suite("Peers")
struct PeerTests {
    @Test("of a TCP connection are known by their address, over both families")
    func hosts() throws {
        for host in ["127.0.0.1", "::1"] {
            let address = try #require(try SocketAddress.resolve(host: host, port: 0).first)
            let listener = try Listener(tcp: address)
            let client = try StreamSocket.connect(to: listener.address)
            let peer = try listener.acceptWhenThere().peer()
            guard case .host(let found) = peer else {
                Issue.record("\(peer) is no host")
                continue
            }
            #expect(found.ip == IPAddress(host))
            let network = try IPNetwork(host == "::1" ? "::/64" : host)
            #expect(peer.source == .network(network))
            extendLifetime(client)
        }
    }

    @Test("of a Unix socket are known by their process, user and groups")
    func processes() throws {
        let pair = try StreamSocket.pair()
        guard case .process(let credentials) = try pair.first.peer() else {
            Issue.record("no process")
            return
        }
        #expect(credentials.pid == getpid())
        #expect(credentials.uid == geteuid())
        #expect(credentials.gids.contains(getegid()))
    }

    @Test("that are IPv4 addresses mapped to IPv6 are the IPv4 addresses that they are")
    func mapped() throws {
        let mapped = try #require(
            try SocketAddress.resolve(host: "::ffff:192.0.2.1", port: 1).first)
        let plain = try #require(try SocketAddress.resolve(host: "192.0.2.1", port: 2).first)
        #expect(mapped.ip == plain.ip)
        #expect(Peer.host(mapped).source == Peer.host(plain).source)
        #expect(mapped.ip?.isIPv4 == true)
    }
}

extension Listener {
    /// Waits for the next connection, and accepts it.
    func acceptWhenThere() throws -> StreamSocket {
        _ = try Listener.poll([self], or: try EventFD(), milliseconds: 10_000)
        return try accept()
    }
}
