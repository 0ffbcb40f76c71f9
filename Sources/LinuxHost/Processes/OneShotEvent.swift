internal import LinuxIO
internal import Synchronization
package import SystemPackage

/// An event that happens once; whoever waits for it goes on then, now or later.
package final class OneShotEvent: Sendable {
    private let wakeUp: EventFD
    private let hasHappened = Atomic(false)

    /// It has not happened yet.
    package init() throws(Errno) { wakeUp = try EventFD() }

    /// It happens; answers false when it had before. Safe from any thread.
    @discardableResult
    package func signal() -> Bool {
        wakeUp.signal()
        return !hasHappened.exchange(true, ordering: .relaxed)
    }

    /// Comes back when it has happened.
    package func wait() {
        // The signal stays, for others who wait. Only want of memory can make it fail, and that ends.
        while (try? PollSource.poll([.event(wakeUp)]).first) != true {}
    }
}
