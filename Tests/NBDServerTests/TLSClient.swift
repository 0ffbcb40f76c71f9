import CGnuTLS
import LinuxIO
import NBDProtocol
import NBDServer
import Testing

/// One end of a socket pair whose other end is being served; in plain text until ``startTLS()``.
@safe final class TLSClient {
    /// Name and key of the client that a test's server knows.
    static let user = "alice"
    static let key = "00112233445566778899aabbccddeeff"

    private let socket: StreamSocket
    private var session: gnutls_session_t?
    private var credentials: gnutls_psk_client_credentials_t?

    struct Broken: Error { var code: CInt }

    /// A client that has been greeted, and has agreed to everything.
    init(to server: Server) throws {
        let pair = try StreamSocket.pair()
        server.serve(pair.second)
        socket = pair.first
        socket.handle.setReceiveTimeout(milliseconds: TestClient.patience)
        socket.handle.setSendTimeout(milliseconds: TestClient.patience)
        _ = try receive(Greeting.encodedSize)
        try send([0, 0, 0, 3])
    }

    /// One end of a connection that begins with TLS.
    init(_ socket: consuming StreamSocket) {
        self.socket = socket
    }

    deinit {
        unsafe gnutls_deinit(session)
        if let credentials = unsafe credentials {
            unsafe gnutls_psk_free_client_credentials(credentials)
        }
    }

    /// Asks for TLS and shakes hands.
    func startTLS(
        key: String = TLSClient.key, ciphers: String = "NORMAL:+ECDHE-PSK:+DHE-PSK"
    ) throws {
        try send(OptionHeader(code: .startTLS, length: 0).encoded)
        #expect(try optionReply() == .ack)
        try secure(key: key, ciphers: ciphers)
    }

    /// Performs the TLS handshake, and requests records of at most this many bytes.
    func secure(
        key: String = TLSClient.key, ciphers: String = "NORMAL:+ECDHE-PSK:+DHE-PSK",
        record: Int? = nil
    ) throws {
        gnutls_global_init()
        unsafe gnutls_init(&session, UInt32(GNUTLS_CLIENT.rawValue))
        unsafe gnutls_psk_allocate_client_credentials(&credentials)
        var bytes = Array(key.utf8)
        try unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            var datum = unsafe gnutls_datum_t(data: buffer.baseAddress, size: UInt32(buffer.count))
            try check(
                unsafe gnutls_psk_set_client_credentials(
                    credentials, Self.user, &datum, GNUTLS_PSK_KEY_HEX))
        }
        try check(unsafe gnutls_priority_set_direct(session, ciphers, nil))
        try check(
            unsafe gnutls_credentials_set(
                session, GNUTLS_CRD_PSK, credentials.map { unsafe UnsafeMutableRawPointer($0) }))
        if let record { try check(CInt(unsafe gnutls_record_set_max_recv_size(session, record))) }
        unsafe gnutls_transport_set_int2(session, number, number)
        try shakeHands()
    }

    /// Shakes hands, for the first time or again.
    func shakeHands() throws {
        var code: CInt
        repeat {
            code = unsafe gnutls_handshake(session)
        } while code < 0
            && gnutls_error_is_fatal(code) == 0 && code != GNUTLS_E_WARNING_ALERT_RECEIVED
        try check(code)
    }

    /// Makes new keys, and wants the server to make some too. TLS 1.3
    func changeKeys() throws {
        try check(unsafe gnutls_session_key_update(session, UInt32(GNUTLS_KU_PEER)))
    }

    // MARK: - Bytes

    private var number: CInt { socket.handle.withDescriptor { $0 } }

    /// Sends all of them in records of so many bytes, or in plain text.
    func send(_ bytes: [UInt8], record: Int = 16_384) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = Array(rest.prefix(record))
            rest = rest.dropFirst(piece.count)
            if unsafe session != nil {
                let sent = unsafe gnutls_record_send(session, piece, piece.count)
                guard sent == piece.count else { throw Broken(code: CInt(sent)) }
            } else {
                try sendPlain(piece)
            }
        }
    }

    /// Sends bytes as they are, also when there is TLS.
    func sendPlain(_ bytes: [UInt8]) throws {
        let memory = try MemoryMapping(privateBytes: bytes.count)
        memory.region.copy(from: bytes)
        guard socket.handle.send(memory.region) == .bytes(bytes.count) else {
            throw Broken(code: 0)
        }
    }

    /// Receives exactly so many.
    func receive(_ count: Int) throws -> [UInt8] {
        var result: [UInt8] = []
        while result.count < count {
            let wanted = count - result.count
            if unsafe session != nil {
                var bytes = [UInt8](repeating: 0, count: wanted)
                let got = unsafe gnutls_record_recv(session, &bytes, wanted)
                if got > 0 {
                    result += bytes.prefix(got)
                } else if got == 0 || gnutls_error_is_fatal(CInt(got)) != 0 {
                    throw Broken(code: CInt(got))
                }
            } else {
                let memory = try MemoryMapping(privateBytes: wanted)
                guard
                    case .bytes(let got) = socket.handle.receive(
                        into: memory.region, blocking: true)
                else { throw Broken(code: 0) }
                result += memory.region.bytes.prefix(got)
            }
        }
        return result
    }

    /// How the server ends the connection: 0 when it says that there is no more to come.
    func end() -> CInt {
        do {
            _ = try receive(1)
            return 1
        } catch {
            return (error as? Broken)?.code ?? -1
        }
    }

    /// Closes the socket without a word.
    func vanish() { socket.handle.shutdownBoth() }

    // MARK: - Messages

    /// Sends an option and answers its last reply.
    func ask(_ code: OptionCode, _ data: [UInt8] = []) throws -> OptionReplyCode {
        try send(OptionHeader(code: code, length: UInt32(data.count)).encoded + data)
        var reply = try optionReply()
        while reply == .info || reply == .server { reply = try optionReply() }
        return reply
    }

    private func optionReply() throws -> OptionReplyCode {
        let bytes = try receive(OptionReplyHeader.encodedSize)
        let header = try #require(OptionReplyHeader(decoding: unsafe bytes.span.bytes))
        _ = try receive(Int(header.length))
        return header.code
    }

    /// The next reply's header.
    func reply() throws -> SimpleReply {
        let bytes = try receive(SimpleReply.encodedSize)
        return try #require(SimpleReply(decoding: unsafe bytes.span.bytes))
    }

    /// Writes, and reads it back.
    func expectToServe(at offset: UInt64 = 0) throws {
        let data = pattern(5_000, seed: offset)
        let length = UInt64(data.count)
        try send(Request(.write, cookie: 1, offset: offset, length: length).encoded + data)
        #expect(try reply() == SimpleReply(cookie: 1))
        try send(Request(.read, cookie: 2, offset: offset, length: length).encoded)
        #expect(try reply() == SimpleReply(cookie: 2))
        #expect(try receive(data.count) == data)
    }

    private func check(_ code: CInt) throws {
        guard code >= 0 else { throw Broken(code: code) }
    }
}
