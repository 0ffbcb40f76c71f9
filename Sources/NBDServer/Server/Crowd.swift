// Who has to go when too many are in the handshake.

internal import LinuxIO

/// Connections in the handshake at some moment.
struct Crowd {
    private var oldest: [Peer.Source: UInt64] = [:]
    private var counts: [Peer.Source: Int] = [:]

    /// Nobody yet.
    init() {}

    /// Adds a connection by its number; a lower one is older.
    mutating func add(_ number: UInt64, from source: Peer.Source) {
        oldest[source] = min(oldest[source] ?? .max, number)
        counts[source, default: 0] += 1
    }

    /// The oldest of those that come from where most come from: whoever fills the room crowds out its
    /// own, and somebody else's handshake has the time it needs. Nil when there is nobody.
    var first: UInt64? {
        let most = counts.values.max()
        return counts.filter { $0.value == most }.compactMap { oldest[$0.key] }.min()
    }
}
