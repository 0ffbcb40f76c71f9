internal import LinuxIO
internal import Synchronization

/// The connection slots of a server. A limited number of connections are served at a time; others may be in
/// the handshake beside them, where a silent or slow client takes nothing from those that are served.
///
/// The acceptor counts handshakes when they begin. A connection's own thread acquires its slot when the client
/// chooses an export, and releases it when it ends.
final class ConnectionSlots: Sendable {
    /// The most connections that are served at a time.
    let limit: Int
    private let served = Atomic<Int>(0)
    private let inHandshake = Atomic<Int>(0)
    private let endings = Atomic<Int>(0)

    init(limit: Int) { self.limit = limit }

    /// Whether every slot is taken.
    var isFull: Bool { served.load(ordering: .acquiring) >= limit }

    /// The number of connections in the handshake.
    var handshakes: Int { inHandshake.load(ordering: .acquiring) }

    /// Counts a connection that begins its handshake.
    func beginHandshake() { inHandshake.add(1, ordering: .acquiringAndReleasing) }

    /// Counts a connection that has left the handshake, whether it is served now or has ended.
    func endHandshake() { inHandshake.subtract(1, ordering: .acquiringAndReleasing) }

    /// Acquires a slot; returns false when all are taken.
    func tryAcquire() -> Bool {
        var count = served.load(ordering: .acquiring)
        while count < limit {
            let (isDone, now) = served.weakCompareExchange(
                expected: count, desired: count + 1, ordering: .acquiringAndReleasing)
            if isDone { return true }
            count = now
        }
        return false
    }

    /// Releases a slot.
    func release() { served.subtract(1, ordering: .acquiringAndReleasing) }

    /// Notes that a connection has ended.
    func noteEnd() { endings.add(1, ordering: .acquiringAndReleasing) }

    /// Returns whether connections have ended since the last call.
    func takeEndedFlag() -> Bool { endings.exchange(0, ordering: .acquiringAndReleasing) > 0 }
}

/// Chooses which connection in the handshake is evicted to make room for a new one.
struct HandshakeEviction {
    private var oldest: [Peer.Source: UInt64] = [:]
    private var weights: [Peer.Source: Int] = [:]

    /// The weight of a connection itself, in milliseconds.
    private static var presence: Int { 50 }
    /// The most milliseconds in the handshake that count; most clients finish it within a few.
    private static var longestCounted: Int { 1_000 }

    /// No connections.
    init() {}

    /// Adds a connection that has been in the handshake for a number of milliseconds. A connection with a lower id is
    /// older.
    mutating func add(_ connection: UInt64, from source: Peer.Source, milliseconds: Int) {
        oldest[source] = min(oldest[source] ?? .max, connection)
        weights[source, default: 0] +=
            Self.presence + min(max(milliseconds, 0), Self.longestCounted)
    }

    /// The oldest connection from the source with the most weight; nil when there is none.
    ///
    /// Weighting by count makes a flood evict its own connections, however fast they come, and leaves an
    /// unrelated slow handshake alone. Weighting by age keeps a client that briefly opens twenty connections
    /// from being mistaken for a flood where each of many others holds one.
    var first: UInt64? {
        let most = weights.values.max()
        return weights.filter { $0.value == most }.compactMap { oldest[$0.key] }.min()
    }
}
