internal import ProgramSupport
internal import CGnuTLS
internal import Glibc

/// A certificate that is being made, and its key. Owns both.
@safe struct CertificateGenerator: ~Copyable {
    private let pointer: gnutls_x509_crt_t
    private let keyPointer: gnutls_x509_privkey_t

    /// Creates an empty certificate and an empty key.
    private init() throws(Failure) {
        let key = try unsafe GnuTLS.made("a key") { unsafe gnutls_x509_privkey_init(&$0) }
        do throws(Failure) {
            unsafe pointer = try GnuTLS.made("a certificate") { unsafe gnutls_x509_crt_init(&$0) }
        } catch {
            unsafe gnutls_x509_privkey_deinit(key)
            throw error
        }
        unsafe keyPointer = key
    }

    deinit {
        unsafe gnutls_x509_crt_deinit(pointer)
        unsafe gnutls_x509_privkey_deinit(keyPointer)
    }

    // MARK: - Kinds

    /// Returns a self-signed CA.
    static func authority(days: Int) throws(Failure) -> CertificateGenerator {
        let made = try CertificateGenerator()
        try made.fill(name: "ramdisk-nbd CA", days: days)
        try made.set(unsafe gnutls_x509_crt_set_basic_constraints(made.pointer, 1, -1))
        try made.set(
            unsafe gnutls_x509_crt_set_key_usage(
                made.pointer, UInt32(GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN)))
        try made.sign(with: made)
        return made
    }

    /// Returns the certificate of a server with these names and addresses.
    static func server(
        _ hosts: [TLSHost], days: Int, signedBy authority: borrowing CertificateGenerator
    ) throws(Failure) -> CertificateGenerator {
        let made = try CertificateGenerator()
        // The common name is limited to 64 bytes. Clients check the alternative names, which follow.
        try made.fill(name: String(hosts.first?.text.prefix(64) ?? "localhost"), days: days)
        for host in hosts { try made.add(host) }
        try made.becomeLeaf(isServer: true)
        try made.sign(with: authority)
        return made
    }

    /// Returns the certificate of a client.
    static func client(
        _ name: String, days: Int, signedBy authority: borrowing CertificateGenerator
    ) throws(Failure) -> CertificateGenerator {
        let made = try CertificateGenerator()
        try made.fill(name: name, days: days)
        try made.becomeLeaf(isServer: false)
        try made.sign(with: authority)
        return made
    }

    // MARK: - Steps

    /// Sets what every certificate has: version 3, a random serial number, a new key, a name, a time of validity.
    private func fill(name: String, days: Int) throws(Failure) {
        try set(unsafe cgnutls_generate_key(keyPointer))
        try set(unsafe gnutls_x509_crt_set_version(pointer, 3))
        var serial = [UInt8](repeating: 0, count: 16)
        try set(unsafe gnutls_rnd(GNUTLS_RND_NONCE, &serial, serial.count))
        // The serial number must be positive (RFC 5280, section 4.1.2.2).
        serial[0] = serial[0] & 0x7f | 0x40
        try set(unsafe gnutls_x509_crt_set_serial(pointer, serial, serial.count))
        try set(unsafe gnutls_x509_crt_set_key(pointer, keyPointer))
        try set(
            unsafe gnutls_x509_crt_set_dn_by_oid(
                pointer, GNUTLS_OID_X520_COMMON_NAME, 0, name, UInt32(name.utf8.count)))
        // Clocks differ: an hour of tolerance.
        let now = time(nil)
        try set(unsafe gnutls_x509_crt_set_activation_time(pointer, now - 3_600))
        try set(unsafe gnutls_x509_crt_set_expiration_time(pointer, now + days * 86_400))
        try set(unsafe cgnutls_set_subject_key_id(pointer))
    }

    private func add(_ host: TLSHost) throws(Failure) {
        let kind = host.address == nil ? GNUTLS_SAN_DNSNAME : GNUTLS_SAN_IPADDRESS
        let bytes = host.address ?? Array(host.text.utf8)
        try set(
            unsafe gnutls_x509_crt_set_subject_alt_name(
                pointer, kind, bytes, UInt32(bytes.count), UInt32(GNUTLS_FSAN_APPEND)))
    }

    private func becomeLeaf(isServer: Bool) throws(Failure) {
        try set(unsafe gnutls_x509_crt_set_basic_constraints(pointer, 0, -1))
        // An elliptic-curve key only signs. But qemu before 10.0.13 and 7.2.22 rejects a client certificate
        // without the second bit, and its manual sets both.
        try set(
            unsafe gnutls_x509_crt_set_key_usage(
                pointer, UInt32(GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_ENCIPHERMENT)))
        try set(unsafe cgnutls_set_purpose(pointer, isServer ? 1 : 0))
    }

    private func sign(with authority: borrowing CertificateGenerator) throws(Failure) {
        try set(
            unsafe gnutls_x509_crt_sign2(
                pointer, authority.pointer, authority.keyPointer, GNUTLS_DIG_SHA256, 0))
    }

    private func set(_ code: CInt) throws(Failure) {
        try GnuTLS.check(code, "make a certificate")
    }

    // MARK: - PEM

    /// Returns the certificate in PEM.
    func certificate() throws(Failure) -> [UInt8] {
        try unsafe GnuTLS.bytes("write a certificate") {
            unsafe gnutls_x509_crt_export2(pointer, GNUTLS_X509_FMT_PEM, &$0)
        }
    }

    /// Returns the key in PEM, as PKCS #8, which every tool reads.
    func key() throws(Failure) -> [UInt8] {
        try unsafe GnuTLS.bytes("write a key") {
            unsafe gnutls_x509_privkey_export2_pkcs8(
                keyPointer, GNUTLS_X509_FMT_PEM, nil, UInt32(GNUTLS_PKCS_PLAIN.rawValue), &$0)
        }
    }
}
