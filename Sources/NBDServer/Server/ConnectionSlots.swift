internal import Synchronization

/// The places of a server: so many connections can be served, and beside them so many be in the
/// handshake. Who is silent there, or slow on purpose, takes nothing from those who are served.
final class ConnectionSlots: Sendable {
    /// Connections that can be served at a time.
    let limit: Int
    private let served = Atomic<Int>(0)
    private let inHandshake = Atomic<Int>(0)
    private let endings = Atomic<Int>(0)

    init(limit: Int) { self.limit = limit }

    /// Whether nobody more can be served at this moment.
    var isFull: Bool { served.load(ordering: .acquiring) >= limit }

    /// Connections in the handshake.
    var handshakes: Int { inHandshake.load(ordering: .acquiring) }

    /// A connection begins its handshake.
    func enter() { inHandshake.add(1, ordering: .acquiringAndReleasing) }

    /// A connection leaves the handshake, wherever to.
    func leaveHandshake() { inHandshake.subtract(1, ordering: .acquiringAndReleasing) }

    /// Takes a place to be served, if there is one.
    func take() -> Bool {
        var count = served.load(ordering: .acquiring)
        while count < limit {
            let (isDone, now) = served.weakCompareExchange(
                expected: count, desired: count + 1, ordering: .acquiringAndReleasing)
            if isDone { return true }
            count = now
        }
        return false
    }

    /// Gives a place back.
    func giveBack() { served.subtract(1, ordering: .acquiringAndReleasing) }

    /// A connection has ended.
    func noteEnd() { endings.add(1, ordering: .acquiringAndReleasing) }

    /// Whether connections have ended since this was asked last.
    func takeEndedFlag() -> Bool { endings.exchange(0, ordering: .acquiringAndReleasing) > 0 }
}
