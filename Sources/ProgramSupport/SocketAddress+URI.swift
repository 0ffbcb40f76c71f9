internal import LinuxIO

extension SocketAddress {
    /// Returns the address as an NBD URI (specification: doc/uri.md). An abstract Unix address has no URI, and is
    /// returned as it is.
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

    /// A host and port that a client can connect to. For a wildcard address that is "localhost", which every machine
    /// has and which the certificates of `tls init` contain. This machine may not know the name by which others
    /// reach it.
    private var clientAddress: String {
        let text = "\(self)"
        for host in ["0.0.0.0:", "[::]:"] where text.hasPrefix(host) {
            return "localhost:" + text.dropFirst(host.count)
        }
        return text
    }
}
