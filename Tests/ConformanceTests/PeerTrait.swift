import Conformance
import Foundation
import Harness
import NBDProtocol
import Testing

/// Runs `ramdisk-nbd serve` with these arguments around a suite.
struct PeerTrait: SuiteTrait, TestScoping {
    let arguments: [String]
    var requiresTLS = false

    @TaskLocal private static var peers: [Cut: Peer] = [:]

    /// Returns the suite's server, to which messages are split as given.
    static func peer(cut: Cut = .whole) throws -> Peer {
        try #require(peers[cut], "the suite has no server")
    }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let directory = try TemporaryDirectory()
        let keys = directory.file("keys.psk")
        try "alice:\(String(repeating: "5a", count: 32))\n"
            .write(toFile: keys, atomically: false, encoding: .utf8)
        let tls = requiresTLS ? ["--tls", "require", "--tls-psk", keys] : []
        try await withServer(arguments + tls) { server in
            let uri = try NBDURI(server.uri(""))
            let peers = [Cut.whole: try Peer(uri), .bytes: try Peer(uri, cut: .bytes)]
            try await Self.$peers.withValue(peers) { try await function() }
        }
    }
}

extension Trait where Self == PeerTrait {
    /// Runs a server with these arguments on a Unix socket.
    static func peer(_ arguments: String...) -> Self { PeerTrait(arguments: arguments) }

    /// Runs a server that requires TLS.
    static var peerWithTLS: Self { PeerTrait(arguments: ["--size", "64M"], requiresTLS: true) }
}
