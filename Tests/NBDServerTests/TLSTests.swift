import CGnuTLS
import Foundation
import Harness
import LinuxIO
import NBDProtocol
import Synchronization
import Testing

@testable import NBDServer

@Suite("TLS")
struct TLSTests {
    /// A server with TLS by a pre-shared key.
    private struct Secured {
        let server: Server
        let events = EventRecord()
        /// The keys are read for each client.
        private let directory: TemporaryDirectory

        init(
            _ policy: TLSPolicy = .required, size: UInt64 = 1 << 20, milliseconds: Int = 10_000
        ) throws {
            directory = try TemporaryDirectory()
            let line = "\(TLSClient.user):\(TLSClient.key)\n"
            try line.write(toFile: directory.file("keys.psk"), atomically: false, encoding: .utf8)
            var configuration = TLSConfiguration()
            configuration.policy = policy
            configuration.keys = directory.file("keys.psk")
            var options = ServerOptions()
            options.tls = try TLSContext(configuration)
            options.handshakeTimeout = .milliseconds(milliseconds)
            server = try makeServer(size: size, options: options, events: events)
        }

        /// The end of the one connection that has ended, or will soon.
        func end() throws -> DisconnectReason? {
            for _ in 0..<500 where events.ends.isEmpty { try pause(milliseconds: 20) }
            return events.ends.first
        }
    }

    private static let versions = ["NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2"]
    private let go = InfoRequest(exportName: "disk").encoded

    @Test("a disk is served, with TLS 1.3 and 1.2", arguments: versions)
    func served(ciphers: String) throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        try client.startTLS(ciphers: ciphers + ":+ECDHE-PSK:+DHE-PSK")
        #expect(try client.ask(.go, go) == .ack)
        try client.expectToServe()
        try client.send(Request(.disconnect).encoded)
        #expect(client.end() == 0, "the server sends close_notify")
        #expect(try secured.end() == .disconnected)
    }

    @Test("older versions are refused")
    func oldVersion() throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        let old = "NORMAL:-VERS-ALL:+VERS-TLS1.1:+ECDHE-PSK:+DHE-PSK"
        #expect(throws: TLSClient.Broken.self) { try client.startTLS(ciphers: old) }
        guard case .tls = try secured.end() else {
            Issue.record("\(secured.events.ends)")
            return
        }
    }

    @Test("128 requests at once, in records of any length", arguments: [16_384, 1_000, 17])
    func manyRequests(record: Int) throws {
        let secured = try Secured(size: 4 << 20)
        let client = try TLSClient(to: secured.server)
        try client.startTLS()
        #expect(try client.ask(.go, go) == .ack)
        let count = record == 17 ? 1_000 : 20_000
        var requests: [UInt8] = []
        for number in 0..<128 as Range<UInt64> {
            let request = Request(
                .write, cookie: number, offset: number * 20_001, length: UInt64(count))
            requests += request.encoded + pattern(count, seed: number)
        }
        try client.send(requests, record: record)
        for number in 0..<128 as Range<UInt64> {
            #expect(try client.reply() == SimpleReply(cookie: number))
        }
        requests = []
        for number in 0..<128 as Range<UInt64> {
            requests +=
                Request(
                    .read, cookie: number, offset: number * 20_001, length: UInt64(count)
                ).encoded
        }
        try client.send(requests, record: record)
        for number in 0..<128 as Range<UInt64> {
            #expect(try client.reply() == SimpleReply(cookie: number))
            #expect(try client.receive(count) == pattern(count, seed: number))
        }
    }

    @Test("what comes in one record with the end of the handshake is not forgotten in it")
    func allInOneRecord() throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        try client.startTLS()
        let option = OptionHeader(code: .exportName, length: 4).encoded + Array("disk".utf8)
        try client.send(
            option + Request(.write, cookie: 1, offset: 5, length: 3).encoded + [7, 8, 9]
                + Request(.read, cookie: 2, offset: 4, length: 5).encoded)
        _ = try client.receive(10)
        #expect(try client.reply() == SimpleReply(cookie: 1))
        #expect(try client.reply() == SimpleReply(cookie: 2))
        #expect(try client.receive(5) == [0, 7, 8, 9, 0])
    }

    @Test("new keys in the middle of it disturb nothing")
    func newKeys() throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        try client.startTLS()
        #expect(try client.ask(.go, go) == .ack)
        for round in 0..<3 as Range<UInt64> {
            try client.changeKeys()
            try client.expectToServe(at: round * 6_000)
        }
    }

    private static let modern = "NORMAL"
    private static let gcm = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM"
    private static let chacha = "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CHACHA20-POLY1305"

    @Test(
        "the kernel gets sessions that it can continue, and no others",
        arguments: [
            (gcm, nil, true), (gcm, 4_096, false), (chacha, nil, false), (modern, nil, false),
        ] as [(String, Int?, Bool)])
    func suitsKernel(ciphers: String, record: Int?, isGood: Bool) throws {
        let directory = try TemporaryDirectory()
        let line = "\(TLSClient.user):\(TLSClient.key)\n"
        try line.write(toFile: directory.file("keys.psk"), atomically: false, encoding: .utf8)
        var configuration = TLSConfiguration()
        configuration.keys = directory.file("keys.psk")
        let context = try TLSContext(configuration)
        let pair = try StreamSocket.pair()
        let handle = pair.second.handle
        let suits = Mutex<Bool?>(nil)
        let server = try LinuxIO.Thread(name: "tls") {
            do {
                let session = try TLSSession.make(context)
                let deadline = MonotonicTime.now().adding(milliseconds: 10_000)
                _ = try session.handshake(on: handle, deadline: deadline)
                let answer = session.suitsKernel
                suits.withLock { $0 = answer }
            } catch {
                // Then there is no answer.
            }
        }
        let client = TLSClient(pair.first)
        try client.secure(ciphers: ciphers + ":+ECDHE-PSK:+DHE-PSK", record: record)
        server.join()
        #expect(suits.withLock { $0 } == isGood)
        _ = pair.second
    }

    @Test("names are compared by their bytes, not by how they look")
    func names() throws {
        let directory = try TemporaryDirectory()
        let line = "\(TLSClient.user):\(TLSClient.key)\n"
        try line.write(toFile: directory.file("keys.psk"), atomically: false, encoding: .utf8)
        var configuration = TLSConfiguration()
        configuration.keys = directory.file("keys.psk")
        configuration.allowedNames = ["CN=Zo\u{eb},O=Example"]
        let context = try TLSContext(configuration)
        try context.admit(
            .certificate("CN=Zo\u{eb},O=Example", reversed: "O=Example,CN=Zo\u{eb}"))
        try context.admit(
            .certificate("O=Example,CN=Zo\u{eb}", reversed: "CN=Zo\u{eb},O=Example"))
        // An e and two dots: to Swift, and to people, the same.
        for name in ["CN=Zoe\u{308},O=Example", "cn=Zo\u{eb},O=Example", ""] {
            #expect(throws: TLSFailure.self) {
                try context.admit(.certificate(name, reversed: name))
            }
        }
        #expect(throws: TLSFailure.self) { try context.admit(.unknown) }
        try context.admit(.key("alice"))
    }

    @Test("a new handshake, which TLS 1.2 knows, is refused")
    func renegotiation() throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        try client.startTLS(ciphers: Self.versions[1] + ":+ECDHE-PSK:+DHE-PSK")
        #expect(try client.ask(.go, go) == .ack)
        #expect(throws: TLSClient.Broken.self) { try client.shakeHands() }
        let bystander = try TLSClient(to: secured.server)
        try bystander.startTLS()
        #expect(try bystander.ask(.go, go) == .ack)
        try bystander.expectToServe()
    }

    @Test("required: nothing else is answered, and EXPORT_NAME ends the connection")
    func required() throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        #expect(try client.ask(.list) == .tlsRequired)
        #expect(try client.ask(.go, go) == .tlsRequired)
        try client.send(OptionHeader(code: .exportName, length: 4).encoded + Array("disk".utf8))
        #expect(client.end() == 0)
        #expect(try secured.end() == .handshake(.exportNameWithoutTLS))
    }

    @Test("on: plain clients are served too, and a second STARTTLS is invalid")
    func optional() throws {
        let secured = try Secured(.on)
        let plain = try TLSClient(to: secured.server)
        #expect(try plain.ask(.go, go) == .ack)
        try plain.expectToServe()
        let client = try TLSClient(to: secured.server)
        try client.startTLS()
        #expect(try client.ask(.startTLS) == .invalid)
        #expect(try client.ask(.go, go) == .ack)
        try client.expectToServe(at: 10_000)
    }

    @Test("options that a plain client sends behind STARTTLS are not taken for its own")
    func injection() throws {
        let secured = try Secured(.on)
        let client = try TLSClient(to: secured.server)
        try client.sendPlain(
            OptionHeader(code: .startTLS, length: 0).encoded
                + OptionHeader(code: .go, length: UInt32(go.count)).encoded + go)
        guard case .tls = try secured.end() else {
            Issue.record("\(secured.events.ends)")
            return
        }
    }

    @Test("what is no TLS ends the connection, at its start and later", arguments: [false, true])
    func garbage(isLater: Bool) throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        if isLater {
            try client.startTLS()
            #expect(try client.ask(.go, go) == .ack)
            try client.expectToServe()
        } else {
            #expect(try client.ask(.startTLS) == .ack)
        }
        try client.sendPlain(pattern(500))
        guard case .tls = try secured.end() else {
            Issue.record("\(secured.events.ends)")
            return
        }
    }

    @Test("a key that is not the client's is refused")
    func wrongKey() throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        #expect(throws: TLSClient.Broken.self) {
            try client.startTLS(key: "ffffffffffffffffffffffffffffffff")
            // With TLS 1.3 the client may hear of it only now.
            _ = try client.ask(.list)
        }
        guard case .tls = try secured.end() else {
            Issue.record("\(secured.events.ends)")
            return
        }
    }

    @Test("who stops in the handshake of TLS is cut off at the deadline", arguments: [0, 1, 40])
    func stalled(count: Int) throws {
        let secured = try Secured(milliseconds: 500)
        let client = try TLSClient(to: secured.server)
        #expect(try client.ask(.startTLS) == .ack)
        // The beginning of a record of 200 bytes.
        if count > 0 {
            try client.sendPlain([22, 3, 1, 0, 200] + [UInt8](repeating: 1, count: count))
        }
        #expect(try secured.end() == .handshakeTimeout)
    }

    @Test("who sends a byte now and then is cut off at the deadline too")
    func trickle() throws {
        let secured = try Secured(milliseconds: 1_000)
        let client = try TLSClient(to: secured.server)
        #expect(try client.ask(.startTLS) == .ack)
        let start = MonotonicTime.now()
        try? client.sendPlain([22, 3, 1, 0, 200])
        for _ in 0..<100 where secured.events.ends.isEmpty {
            try? client.sendPlain([1])
            try pause(milliseconds: 50)
        }
        #expect(try secured.end() == .handshakeTimeout)
        #expect(start.adding(milliseconds: 4_500) > .now())
    }

    @Test("a client that vanishes is no more than one that closes")
    func vanished() throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        try client.startTLS()
        #expect(try client.ask(.go, go) == .ack)
        try client.expectToServe()
        client.vanish()
        #expect(try secured.end() == .closed)
    }

    @Test("an idle client is disconnected when the server stops")
    func stopped() throws {
        let secured = try Secured()
        let client = try TLSClient(to: secured.server)
        try client.startTLS()
        #expect(try client.ask(.go, go) == .ack)
        secured.server.stop()
        #expect(client.end() == 0)
        #expect(try secured.end() == .stopped)
    }

    @Test("a client that reads nothing is cut off when the server stops")
    func stuckReader() throws {
        let secured = try Secured(size: 32 << 20)
        let client = try TLSClient(to: secured.server)
        try client.startTLS()
        #expect(try client.ask(.go, go) == .ack)
        try client.send(Request(.read, cookie: 1, offset: 0, length: 32 << 20).encoded)
        _ = try client.reply()
        let start = MonotonicTime.now()
        secured.server.stop()
        #expect(start.adding(milliseconds: 8_000) > .now())
    }
}
