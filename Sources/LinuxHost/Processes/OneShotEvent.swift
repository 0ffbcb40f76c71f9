internal import LinuxIO
internal import Synchronization
package import SystemPackage

/// An event that happens once, and that any number of threads can wait for.
package final class OneShotEvent: Sendable {
    private let event: EventFD
    private let hasHappened = Atomic(false)

    /// Makes an event that has not happened.
    package init() throws(Errno) { event = try EventFD() }

    /// Makes the event happen; returns false when it had happened before. Any thread may call it.
    @discardableResult
    package func signal() -> Bool {
        // Before the thread that waits is woken: it then reads whether the event has happened.
        let isFirst = !hasHappened.exchange(true, ordering: .releasing)
        event.signal()
        return isFirst
    }

    /// Waits until the event has happened, or for a number of milliseconds. Returns whether it has happened.
    package func wait(milliseconds: Int) -> Bool {
        let end = MonotonicTime.now().adding(milliseconds: milliseconds)
        while !hasHappened.load(ordering: .acquiring) {
            let rest = end.milliseconds(from: .now())
            // Again after a signal, such as that with which a server confines its threads.
            guard (try? PollSource.poll([.event(event)], milliseconds: max(0, rest))) != nil,
                rest > 0
            else { break }
        }
        return hasHappened.load(ordering: .acquiring)
    }

    /// Waits until the event has happened.
    package func wait() {
        // The event stays signalled for the other threads that wait. The call fails only while the kernel
        // has too little memory, so it is repeated.
        while (try? PollSource.poll([.event(event)]).first) != true {}
    }
}
