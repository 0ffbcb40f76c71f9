// How a connection's thread learns that the server is being stopped.

internal import Synchronization

/// A flag that is set once. The thread looks at it after each receive, never for each request.
final class StopSignal: Sendable {
    private let flag = Atomic<Bool>(false)

    /// Whether the server is being stopped.
    @inline(__always)
    var isSet: Bool { flag.load(ordering: .acquiring) }

    /// Sets it.
    func set() { flag.store(true, ordering: .releasing) }
}
