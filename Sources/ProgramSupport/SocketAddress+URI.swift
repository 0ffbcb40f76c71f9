internal import LinuxIO
internal import NBDProtocol

extension SocketAddress {
    /// Returns the address as an NBD URI (specification: doc/uri.md). An abstract Unix address has no URI, and is
    /// returned as it is.
    package func uri(isEncrypted: Bool) -> String {
        guard abstractName == nil else { return description }
        guard let path else { return (isEncrypted ? "nbds://" : "nbd://") + clientAddress }
        return NBDURI(.unix(path: fromRoot(path)), requiresTLS: isEncrypted).description
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
