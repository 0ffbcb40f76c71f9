// Where a server is, as clients are told.

internal import LinuxIO
internal import NBDProtocol

extension SocketAddress {
    /// The address as an NBD URI (specification: doc/uri.md), which cannot say a name outside of the
    /// file system: that is left as it is.
    package func uri(isEncrypted: Bool) -> String {
        guard abstractName == nil else { return description }
        guard let path else { return (isEncrypted ? "nbds://" : "nbd://") + clientAddress }
        return NBDURI(.unix(path: fromRoot(path)), requiresTLS: isEncrypted).description
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
