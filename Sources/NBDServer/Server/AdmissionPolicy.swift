public import LinuxIO

/// Which clients a server takes in, judged by where they come from before a byte is read from them.
///
/// Each part is about one kind of socket and leaves the other alone; a part that is empty admits all.
/// Sockets that are handed to ``Server/serve(_:)`` have been judged by whoever does that.
public struct AdmissionPolicy: Sendable {
    /// Networks that TCP clients may come from.
    public var networks: [IPNetwork] = []
    /// Users whose processes may connect to Unix sockets, by number. Root is no exception.
    public var users: Set<UInt32> = []
    /// Groups whose members' processes may connect to Unix sockets, by number, as well as those users:
    /// the process's own group or a supplementary one.
    public var groups: Set<UInt32> = []

    /// Everybody.
    public init() {}

    /// Whether a client may come in.
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
