// Where a server is, as clients are told.

internal import LinuxIO

extension SocketAddress {
    /// The address as an NBD URI (specification: doc/uri.md), which cannot say a name outside of the
    /// file system: that is left as it is.
    package func uri(isEncrypted: Bool) -> String {
        guard abstractName == nil else { return description }
        let scheme = isEncrypted ? "nbds" : "nbd"
        guard let path else { return "\(scheme)://\(clientAddress)" }
        let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/".utf8)
        let escaped = fromRoot(path).utf8.map { byte in
            if plain.contains(byte) { return String(UnicodeScalar(byte)) }
            let digits = String(byte, radix: 16, uppercase: true)
            return byte < 16 ? "%0\(digits)" : "%\(digits)"
        }
        return "\(scheme)+unix:///?socket=\(escaped.joined())"
    }

    /// A host and port that a client can connect to. All addresses of the machine are none; of those,
    /// "localhost" is the one name that every machine has and that certificates of `tls init` are for.
    /// Clients on other machines know this one by a name that it may not know itself.
    private var clientAddress: String {
        let text = "\(self)"
        for host in ["0.0.0.0:", "[::]:"] where text.hasPrefix(host) {
            return "localhost:" + text.dropFirst(host.count)
        }
        return text
    }
}
