internal import CGnuTLS

/// The way in which a client has authenticated itself.
enum TLSPeer {
    /// By a certificate for this distinguished name, in the two orders in which such names are written.
    case certificate(String, reversed: String)
    /// By a pre-shared key of this name.
    case key(String)
    /// The client has not authenticated itself.
    case unknown

    /// The client of a session after its handshake.
    init(of session: gnutls_session_t) {
        if unsafe gnutls_auth_get_type(session) == GNUTLS_CRD_PSK {
            var name = unsafe gnutls_datum_t()
            let code = unsafe gnutls_psk_server_get_username2(session, &name)
            self = code == 0 ? .key(unsafe String(tls: name)) : .unknown
            return
        }
        var count: UInt32 = 0
        var made: gnutls_x509_crt_t?
        guard let list = unsafe gnutls_certificate_get_peers(session, &count), count > 0,
            unsafe gnutls_x509_crt_init(&made) == 0, let certificate = unsafe made
        else {
            self = .unknown
            return
        }
        defer { unsafe gnutls_x509_crt_deinit(certificate) }
        // The client's own certificate comes first. GnuTLS has parsed it when it verified it.
        guard unsafe gnutls_x509_crt_import(certificate, list, GNUTLS_X509_FMT_DER) == 0 else {
            self = .unknown
            return
        }
        self = .certificate(
            unsafe Self.name(in: certificate, flags: 0),
            reversed: unsafe Self.name(in: certificate, flags: UInt32(GNUTLS_X509_DN_FLAG_COMPAT)))
    }

    /// The name for people; nil for a client that is unknown.
    var name: String? {
        switch self {
        case .certificate(let name, _), .key(let name): name
        case .unknown: nil
        }
    }

    private static func name(in certificate: gnutls_x509_crt_t, flags: UInt32) -> String {
        var name = unsafe gnutls_datum_t()
        guard unsafe gnutls_x509_crt_get_dn3(certificate, &name, flags) == 0 else { return "" }
        defer { unsafe cgnutls_free(name.data) }
        return unsafe String(tls: name)
    }
}
