internal import LinuxIO

/// Connections in the handshake at some moment.
struct HandshakeEviction {
    private var oldest: [Peer.Source: UInt64] = [:]
    private var weights: [Peer.Source: Int] = [:]

    /// What a connection weighs for being there, in milliseconds.
    private static var presence: Int { 50 }
    /// Most milliseconds in the handshake that weigh; most clients are done with it in a few.
    private static var patience: Int { 1_000 }

    /// Nobody yet.
    init() {}

    /// Adds a connection by its number, a lower one is older, that has been there for so long.
    mutating func add(_ number: UInt64, from source: Peer.Source, milliseconds: Int) {
        oldest[source] = min(oldest[source] ?? .max, number)
        weights[source, default: 0] += Self.presence + min(max(milliseconds, 0), Self.patience)
    }

    /// The oldest of those that come from where most weight comes from; nil when there is nobody.
    ///
    /// By their number, whoever fills the room crowds out its own, however fast, and somebody else's
    /// slow handshake has the time it needs. By their time, who comes with twenty connections at once
    /// and is done soon is not taken for a crowd where each of many others holds one.
    var first: UInt64? {
        let most = weights.values.max()
        return weights.filter { $0.value == most }.compactMap { oldest[$0.key] }.min()
    }
}
