internal import CGnuTLS
internal import Glibc

/// A server's certificate with its key, and the CA for clients' certificates. Owns GnuTLS's credentials, which
/// do not change after they have been read, so many threads may use them.
@safe struct TLSCertificate: ~Copyable, @unchecked Sendable {
    /// The paths of the files, in the layout that NBD tools share.
    struct Files {
        var directory: String
        var certificate: String { directory + "/server-cert.pem" }
        var key: String { directory + "/server-key.pem" }
        var authority: String { directory + "/ca-cert.pem" }
        var revoked: String { directory + "/ca-crl.pem" }
    }

    let pointer: gnutls_certificate_credentials_t

    /// Empty credentials.
    private init() throws(TLSFailure) {
        unsafe pointer = try TLSFailure.made("no memory for certificates") {
            unsafe gnutls_certificate_allocate_credentials(&$0)
        }
    }

    /// Reads the files, and checks that the certificate is valid today.
    static func read(_ files: Files, verifiesClients: Bool) throws(TLSFailure) -> TLSCertificate {
        try TLSFile.checkReadable(files.certificate)
        try TLSFile.checkReadable(files.key)
        let certificate = try TLSCertificate()
        try certificate.readIdentity(files)
        try certificate.checkDates(files)
        if verifiesClients { try certificate.readAuthority(files) }
        return certificate
    }

    deinit {
        unsafe gnutls_certificate_free_credentials(pointer)
    }

    private func readIdentity(_ files: Files) throws(TLSFailure) {
        let code = unsafe gnutls_certificate_set_x509_key_file(
            pointer, files.certificate, files.key, GNUTLS_X509_FMT_PEM)
        if code == GNUTLS_E_CERTIFICATE_KEY_MISMATCH {
            throw TLSFailure("\(files.key) is not the key of \(files.certificate)")
        }
        try TLSFailure.check(code, "cannot use \(files.certificate) with \(files.key)")
    }

    private func checkDates(_ files: Files) throws(TLSFailure) {
        var list: UnsafeMutablePointer<gnutls_x509_crt_t?>?
        var count: UInt32 = 0
        try TLSFailure.check(
            unsafe gnutls_certificate_get_x509_crt(pointer, 0, &list, &count),
            "cannot use \(files.certificate)")
        guard let list = unsafe list else { return }
        // Sound: GnuTLS has allocated a list of `count` certificates, which the caller frees.
        defer {
            for index in 0..<Int(count) { unsafe gnutls_x509_crt_deinit(list[index]) }
            unsafe cgnutls_free(list)
        }
        let now = time(nil)
        for index in 0..<Int(count) {
            let end = unsafe gnutls_x509_crt_get_expiration_time(list[index])
            if end < now {
                throw TLSFailure("\(files.certificate) expired on \(Self.day(of: end))")
            }
            let start = unsafe gnutls_x509_crt_get_activation_time(list[index])
            if start > now {
                throw TLSFailure("\(files.certificate) is not valid before \(Self.day(of: start))")
            }
        }
    }

    private func readAuthority(_ files: Files) throws(TLSFailure) {
        try TLSFile.checkReadable(files.authority)
        let count = unsafe gnutls_certificate_set_x509_trust_file(
            pointer, files.authority, GNUTLS_X509_FMT_PEM)
        try TLSFailure.check(count, "cannot use \(files.authority)")
        guard count > 0 else { throw TLSFailure("\(files.authority) contains no certificate") }
        guard TLSFile.exists(files.revoked) else { return }
        try TLSFile.checkReadable(files.revoked)
        try TLSFailure.check(
            unsafe gnutls_certificate_set_x509_crl_file(
                pointer, files.revoked, GNUTLS_X509_FMT_PEM),
            "cannot use \(files.revoked)")
    }

    /// Returns the date of a time in UTC, such as 2026-11-23.
    private static func day(of moment: time_t) -> String {
        var moment = moment
        var parts = unsafe tm()
        unsafe gmtime_r(&moment, &parts)
        let (month, day) = unsafe (parts.tm_mon + 1, parts.tm_mday)
        return "\(unsafe parts.tm_year + 1900)-\(month < 10 ? "0" : "")\(month)"
            + "-\(day < 10 ? "0" : "")\(day)"
    }
}
