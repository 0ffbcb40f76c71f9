internal import CGnuTLS
internal import LinuxIO
internal import SystemPackage

/// A GnuTLS session, which this value owns. One thread at a time uses it.
@safe struct TLSSession: ~Copyable {
    let pointer: gnutls_session_t
    /// Kept because the session uses its credentials.
    private let context: TLSContext

    /// A server's session, without credentials.
    private init(bare context: TLSContext) throws(TLSFailure) {
        unsafe pointer = try TLSFailure.made("cannot start TLS") {
            unsafe cgnutls_server_session(&$0)
        }
        self.context = context
    }

    /// A server's session, before its handshake.
    static func make(_ context: TLSContext) throws(TLSFailure) -> TLSSession {
        let session = try TLSSession(bare: context)
        try TLSFailure.check(
            unsafe gnutls_priority_set(session.pointer, context.ciphers.pointer),
            "cannot start TLS")
        switch context.certificate {
        case .some(let certificate):
            try unsafe session.use(
                GNUTLS_CRD_CERTIFICATE, UnsafeMutableRawPointer(certificate.pointer))
        case nil: break
        }
        switch context.keys {
        case .some(let keys):
            try unsafe session.use(GNUTLS_CRD_PSK, UnsafeMutableRawPointer(keys.pointer))
        case nil: break
        }
        if context.verifiesClients { unsafe cgnutls_require_client_certificate(session.pointer) }
        return session
    }

    deinit {
        unsafe gnutls_deinit(pointer)
    }

    private func use(
        _ kind: gnutls_credentials_type_t, _ credentials: UnsafeMutableRawPointer
    ) throws(TLSFailure) {
        try TLSFailure.check(
            unsafe gnutls_credentials_set(pointer, kind, credentials), "cannot start TLS")
    }

    /// Performs the TLS handshake, and returns its result. Receives no byte after the handshake: it may be for the
    /// kernel.
    func handshake(
        on socket: SocketHandle, deadline: MonotonicTime
    ) throws(TLSHandshakeError) -> TLSSummary {
        try performHandshake(on: socket, deadline: deadline)
        let client = unsafe TLSPeer(of: pointer)
        do throws(TLSFailure) {
            try context.admit(client)
        } catch {
            _ = unsafe gnutls_alert_send(pointer, GNUTLS_AL_FATAL, GNUTLS_A_ACCESS_DENIED)
            throw .failure(error)
        }
        return TLSSummary(
            version: unsafe String(
                tls: gnutls_protocol_get_name(gnutls_protocol_get_version(pointer))),
            cipher: unsafe String(tls: gnutls_cipher_get_name(gnutls_cipher_get(pointer))),
            client: client.name)
    }

    private func performHandshake(
        on socket: SocketHandle, deadline: MonotonicTime
    ) throws(TLSHandshakeError) {
        // GnuTLS calls the socket itself here, without which the kernel could not take over later. The socket is
        // non-blocking, because GnuTLS restarts its timeout on every byte, so a client could extend the deadline by
        // sending slowly.
        socket.withDescriptor { unsafe gnutls_transport_set_int2(pointer, $0, $0) }
        socket.setBlocking(false)
        defer { socket.setBlocking(true) }
        while true {
            let code = unsafe gnutls_handshake(pointer)
            if code >= 0 { return }
            guard gnutls_error_is_fatal(code) == 0 else {
                // Tells the client why, if that is still possible; whether it arrives does not matter.
                _ = unsafe gnutls_alert_send_appropriate(pointer, code)
                throw .failure(explained(code))
            }
            if code == GNUTLS_E_AGAIN { try wait(for: socket, deadline: deadline) }
        }
    }

    /// Waits until GnuTLS can continue.
    private func wait(
        for socket: SocketHandle, deadline: MonotonicTime
    ) throws(TLSHandshakeError) {
        let milliseconds = deadline.milliseconds(from: .now())
        guard milliseconds > 0 else { throw .timeout }
        let isSending = unsafe gnutls_record_get_direction(pointer) != 0
        do throws(Errno) {
            _ =
                isSending
                ? try socket.waitWritable(milliseconds: milliseconds)
                : try socket.waitReadable(milliseconds: milliseconds)
        } catch {
            throw .failure(TLSFailure("the connection failed in the TLS handshake: \(error)"))
        }
    }

    /// Returns the error for a failed handshake.
    private func explained(_ code: CInt) -> TLSFailure {
        switch code {
        case GNUTLS_E_FATAL_ALERT_RECEIVED:
            let alert = unsafe String(tls: gnutls_alert_get_name(gnutls_alert_get(pointer)))
            return TLSFailure("the client rejected the TLS handshake: \(alert)")
        case GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR:
            var reason = unsafe gnutls_datum_t()
            let status = unsafe gnutls_session_get_verify_cert_status(pointer)
            _ = unsafe gnutls_certificate_verification_status_print(
                status, GNUTLS_CRT_X509, &reason, 0)
            defer { unsafe cgnutls_free(reason.data) }
            return TLSFailure(
                "the client's certificate is not accepted: \(unsafe String(tls: reason))")
        case GNUTLS_E_NO_CERTIFICATE_FOUND, GNUTLS_E_CERTIFICATE_REQUIRED:
            return TLSFailure("the client presented no certificate")
        case GNUTLS_E_PREMATURE_TERMINATION:
            return TLSFailure("the client closed the connection in the TLS handshake")
        default: return TLSFailure("the TLS handshake failed", code: code)
        }
    }
}
