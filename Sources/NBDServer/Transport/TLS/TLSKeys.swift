internal import CGnuTLS
internal import LinuxIO
internal import SystemPackage

/// A file of pre-shared keys. Owns GnuTLS's credentials, which hold only the file's path: GnuTLS reads the file
/// for each client.
@safe struct TLSKeys: ~Copyable, @unchecked Sendable {
    let pointer: gnutls_psk_server_credentials_t

    /// The number of bytes of a file that are checked when the server starts.
    private static var checkedLength: Int { 1 << 20 }

    /// Credentials without a file.
    private init() throws(TLSFailure) {
        unsafe pointer = try TLSFailure.made("no memory for keys") {
            unsafe gnutls_psk_allocate_server_credentials(&$0)
        }
    }

    /// Checks a file, and makes credentials that use it.
    static func read(path: String) throws(TLSFailure) -> TLSKeys {
        try check(path)
        let keys = try TLSKeys()
        try TLSFailure.check(
            unsafe gnutls_psk_set_server_credentials_file(keys.pointer, path), "cannot use \(path)")
        return keys
    }

    deinit {
        unsafe gnutls_psk_free_server_credentials(pointer)
    }

    /// Throws unless there is at least one client, and every line is one.
    private static func check(_ path: String) throws(TLSFailure) {
        try TLSFile.checkReadable(path)
        var bytes: [UInt8]
        do throws(Errno) {
            let memory = try MemoryMapping(privateBytes: checkedLength)
            // The memory holds keys: not to be swapped out, as far as the process may lock it, and wiped.
            try? memory.lock()
            defer { memory.region.zero() }
            let count = try InputFile(path: path).read(into: memory.region)
            bytes = memory.region.slice(at: 0, count: count).bytes
        } catch {
            throw TLSFailure("cannot read \(path): \(error)")
        }
        defer { for index in bytes.indices { bytes[index] = 0 } }
        try check(bytes, of: path)
    }

    private static func check(_ bytes: [UInt8], of path: String) throws(TLSFailure) {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        var clients = 0
        for (number, line) in lines.enumerated() where !line.isEmpty {
            guard isClient(line) else {
                throw TLSFailure(
                    "line \(number + 1) of \(path) is not a name, a colon and a hexadecimal key")
            }
            clients += 1
        }
        guard clients > 0 else { throw TLSFailure("\(path) contains no key") }
    }

    private static func isClient(_ line: ArraySlice<UInt8>) -> Bool {
        let parts = line.split(
            separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty, parts[1].count % 2 == 0
        else { return false }
        return parts[1].allSatisfy { $0 < 0x80 && Character(UnicodeScalar($0)).isHexDigit }
    }
}

/// The TLS versions and ciphers that the server offers. Owns GnuTLS's list of them.
@safe struct TLSCiphers: ~Copyable, @unchecked Sendable {
    let pointer: gnutls_priority_t

    /// GnuTLS's normal selection, restricted to TLS 1.3 and 1.2 (specification: "TLS versions") and to key
    /// exchanges with forward secrecy, also with pre-shared keys. The server's order applies, with AES before
    /// ChaCha20, because server processors have instructions for AES.
    private static var wanted: String {
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:+ECDHE-PSK:+DHE-PSK"
            + ":-CHACHA20-POLY1305:+CHACHA20-POLY1305:%SERVER_PRECEDENCE"
    }

    init() throws(TLSFailure) {
        unsafe pointer = try TLSFailure.made("GnuTLS lacks the ciphers for TLS") {
            unsafe gnutls_priority_init(&$0, Self.wanted, nil)
        }
    }

    deinit {
        unsafe gnutls_priority_deinit(pointer)
    }
}
