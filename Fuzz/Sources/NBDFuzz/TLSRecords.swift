import CGnuTLS
import NBDProtocol
import NBDServer

/// Maximum number of steps in one input.
private let stepLimit = 40

/// Shakes hands, and then sends records that are valid, damaged, out of order, or none at all. The server must close
/// the connection in the end, and must not be harmed.
func fuzzTLS(_ input: [UInt8]) {
    var script = Script(input)
    let shape = script.byte()
    let link = Link(to: TLSTarget.server)
    let session = TLSTestSession(link, isVersion12: shape & 1 != 0)
    guard session.start() else { fatalError("the handshake failed") }
    if shape & 2 == 0 { session.send(InfoRequest(exportName: "sparse").option(.go)) }
    for number in 0..<stepLimit where !script.isOver && !link.isClosed {
        let choice = script.byte()
        switch choice & 7 {
        case 0: link.send(script.bytes(Int(script.byte())))
        case 1: link.send(record(choice, &script))
        case 2: session.control(choice >> 3)
        case 3: session.send(script.bytes(Int(script.byte())), damage: choice >> 3, &script)
        default:
            let order = Order(&script, cookie: UInt64(number), format: .simple)
            session.send(order.encoded(.simple), damage: choice >> 3, &script)
        }
        link.poll()
    }
    link.finish()
}

extension InfoRequest {
    /// The option with its header.
    fileprivate func option(_ code: OptionCode) -> [UInt8] {
        OptionHeader(code: code, length: UInt32(encoded.count)).encoded + encoded
    }
}

/// Returns a record that nobody has encrypted. RFC 8446, section 5.1
private func record(_ choice: UInt8, _ script: inout Script) -> [UInt8] {
    let body = script.bytes(Int(script.byte()))
    var length = UInt16(body.count)
    if choice & 0x80 != 0 { length = UInt16(truncatingIfNeeded: script.wide()) }
    return [20 + (choice >> 3 & 7), 3, choice & 0x40 == 0 ? 3 : 1]
        + [UInt8(length >> 8), UInt8(length & 255)] + body
}

private enum TLSTarget {
    static let user = "alice"
    static let key = "00112233445566778899aabbccddeeff"

    static let server: Server = {
        Scratch.write(Array("\(user):\(key)\n".utf8), to: "keys.psk")
        var configuration = TLSConfiguration()
        configuration.policy = .required
        configuration.keys = Scratch.path("keys.psk")
        var options = ServerOptions()
        options.busyPolling = .zero
        do {
            options.tls = try TLSContext(configuration)
            let disk = try RamDisk(size: UInt64(Link.diskSize), isSparse: true)
            let server = try Server(exports: [Export(name: "sparse", disk: disk)], options: options)
            try server.start()
            return server
        } catch {
            fatalError("cannot start the server: \(error)")
        }
    }()
}

/// What GnuTLS has made to be sent. GnuTLS calls a C function, which can capture nothing; inputs run one after the
/// other, on one thread.
nonisolated(unsafe) private var outbox: [UInt8] = []

/// The client's side of a TLS session whose records can be changed before they are sent.
@safe private final class TLSTestSession {
    private let link: Link
    private var session: gnutls_session_t?
    private var credentials: gnutls_psk_client_credentials_t?

    init(_ link: Link, isVersion12: Bool) {
        self.link = link
        unsafe gnutls_init(
            &session,
            UInt32(GNUTLS_CLIENT.rawValue) | UInt32(GNUTLS_NONBLOCK.rawValue)
                | UInt32(GNUTLS_NO_SIGNAL.rawValue))
        unsafe gnutls_psk_allocate_client_credentials(&credentials)
        var bytes = Array(TLSTarget.key.utf8)
        unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            var datum = unsafe gnutls_datum_t(data: buffer.baseAddress, size: UInt32(buffer.count))
            _ = unsafe gnutls_psk_set_client_credentials(
                credentials, TLSTarget.user, &datum, GNUTLS_PSK_KEY_HEX)
        }
        let version = isVersion12 ? "NORMAL:-VERS-ALL:+VERS-TLS1.2" : "NORMAL"
        _ = unsafe gnutls_priority_set_direct(session, version + ":+ECDHE-PSK:+DHE-PSK", nil)
        _ = unsafe gnutls_credentials_set(
            session, GNUTLS_CRD_PSK, credentials.map { unsafe UnsafeMutableRawPointer($0) })
        unsafe gnutls_transport_set_int2(session, link.descriptor, link.descriptor)
        // Sound: GnuTLS lends `count` bytes for the duration of the call.
        unsafe gnutls_transport_set_push_function(session) { _, bytes, count in
            unsafe outbox += UnsafeRawBufferPointer(start: bytes, count: count)
            return count
        }
    }

    deinit {
        unsafe gnutls_deinit(session)
        if let credentials = unsafe credentials {
            unsafe gnutls_psk_free_client_credentials(credentials)
        }
    }

    /// Asks for TLS, and shakes hands. Returns false when the server refuses that.
    func start() -> Bool {
        unsafe outbox = []
        guard link.receive(Greeting.encodedSize) != nil else { return false }
        link.send([0, 0, 0, 3] + OptionHeader(code: .startTLS, length: 0).encoded)
        guard link.receive(OptionReplyHeader.encodedSize) != nil else { return false }
        // GnuTLS must return when it waits for the server: what it has to send is still in the outbox.
        link.stopBlocking()
        while true {
            let code = unsafe gnutls_handshake(session)
            flush()
            if code >= 0 { return true }
            guard code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED else { return false }
            link.awaitInput()
        }
    }

    private func flush() {
        link.send(unsafe outbox)
        unsafe outbox = []
    }

    /// Sends bytes in a record of their own.
    func send(_ bytes: [UInt8]) {
        _ = unsafe gnutls_record_send(session, bytes, bytes.count)
        flush()
    }

    /// Sends bytes in records that are damaged, repeated or cut; seldom, as the server then ends the connection.
    func send(_ bytes: [UInt8], damage: UInt8, _ script: inout Script) {
        _ = unsafe gnutls_record_send(session, bytes, bytes.count)
        let count = unsafe outbox.count
        guard count > 0 else { return }
        switch damage {
        case 29: unsafe outbox[script.number(upTo: count - 1)] ^= script.byte()
        case 30: unsafe outbox += unsafe outbox
        case 31: unsafe outbox.removeLast(script.number(upTo: count - 1))
        default: break
        }
        flush()
    }

    /// Sends a record of TLS itself.
    func control(_ kind: UInt8) {
        switch kind & 7 {
        case 0, 1:
            _ = unsafe gnutls_session_key_update(
                session, kind & 1 == 0 ? 0 : UInt32(GNUTLS_KU_PEER))
        case 2: _ = unsafe gnutls_alert_send(session, GNUTLS_AL_WARNING, GNUTLS_A_USER_CANCELED)
        case 3: _ = unsafe gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_INTERNAL_ERROR)
        case 4: _ = unsafe gnutls_bye(session, GNUTLS_SHUT_WR)
        case 5: _ = unsafe gnutls_handshake(session)
        default: _ = unsafe gnutls_record_send(session, "", 0)
        }
        flush()
    }
}
