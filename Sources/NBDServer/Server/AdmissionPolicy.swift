package import LinuxIO

/// The clients that a server accepts. The server decides by the source of a client, before it reads a byte from it.
///
/// Networks apply to TCP alone, users and groups to Unix sockets alone; a part that is empty admits every
/// client of its kind. The policy does not apply to sockets that a program passes to ``Server/serve(_:)``.
public struct AdmissionPolicy: Sendable {
    /// The networks that TCP clients may come from.
    package var networks: [IPNetwork] = []
    /// The users whose processes may connect to Unix sockets. Root is no exception.
    public var users: Set<UInt32> = []
    /// The groups whose members' processes may connect to Unix sockets, besides those users: the process's own
    /// group or a supplementary one.
    public var groups: Set<UInt32> = []

    /// A policy that admits everyone.
    public init() {}

    /// Admits TCP clients from a network, such as `10.0.0.0/8`, or from one address, such as `2001:db8::1`.
    public mutating func allow(network: String) throws(ServerError) {
        do throws(IPNetwork.ParseError) {
            networks.append(try IPNetwork(network))
        } catch {
            throw ServerError(
                .invalidAddress,
                "\"\(network)\" is not a network to admit: write a numeric address, or the first address of a "
                    + "network, a slash and the length of its prefix in bits")
        }
    }

    /// Whether a client is admitted.
    func admits(_ peer: Peer) -> Bool {
        switch peer {
        case .host(let address):
            guard !networks.isEmpty else { return true }
            guard let ip = address.ip else { return false }
            return networks.contains { $0.contains(ip) }
        case .process(let credentials):
            if users.isEmpty && groups.isEmpty { return true }
            return users.contains(credentials.uid) || !groups.isDisjoint(with: credentials.gids)
        }
    }
}
