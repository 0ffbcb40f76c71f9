// Something that happens once, and threads that wait for it.

internal import Synchronization
public import SystemPackage

/// An event that happens once; whoever waits for it goes on then, now or later.
public final class Completion: Sendable {
    private let wakeUp: WakeUp
    private let hasHappened = Atomic(false)

    /// It has not happened yet.
    public init() throws(Errno) { wakeUp = try WakeUp() }

    /// It happens; answers false when it had before. Safe from any thread.
    @discardableResult
    public func fulfil() -> Bool {
        wakeUp.signal()
        return !hasHappened.exchange(true, ordering: .relaxed)
    }

    /// Comes back when it has happened.
    public func wait() {
        // The signal stays, for others who wait. Only want of memory can make it fail, and that ends.
        while (try? WaitItem.wait(for: [.signal(wakeUp)]).first) != true {}
    }
}
