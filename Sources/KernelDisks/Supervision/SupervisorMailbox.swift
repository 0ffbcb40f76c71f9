internal import LinuxHost
package import LinuxIO
internal import Synchronization
package import SystemPackage

/// A wish to stop, a wish for figures, and whatever else that thread has to look at.
package final class SupervisorMailbox: Sendable {
    private let isWanted = Atomic<Bool>(false)
    private let lastSignal = Atomic<Int32>(0)
    private let areFiguresWanted = Atomic<Bool>(false)
    private let wakeUp: EventFD

    package init() throws(Errno) { wakeUp = try EventFD() }

    /// The disk is to be taken down, because of a signal if one is given.
    package func request(signal: Int32 = 0) {
        lastSignal.store(signal, ordering: .relaxed)
        isWanted.store(true, ordering: .releasing)
        wakeUp.signal()
    }

    /// Somebody wants to know how much memory the disk takes up.
    package func requestFigures() {
        areFiguresWanted.store(true, ordering: .releasing)
        wakeUp.signal()
    }

    /// The same as ``take()`` for figures.
    package func takeFigures() -> Bool {
        areFiguresWanted.exchange(false, ordering: .acquiringAndReleasing)
    }

    /// Something has happened that the thread has to look at.
    package func nudge() { wakeUp.signal() }

    /// Whether it was asked for since the last time; the answer takes the wish away.
    package func take() -> Bool { isWanted.exchange(false, ordering: .acquiringAndReleasing) }

    /// The signal that asked for it last; 0 if none did.
    package var signal: Int32 { lastSignal.load(ordering: .relaxed) }

    /// Whether it was asked for.
    package var isSet: Bool { isWanted.load(ordering: .acquiring) }

    /// To wait for either.
    package var item: PollSource { .event(wakeUp) }

    /// Forgets what has been waited for.
    package func clear() { wakeUp.clear() }
}
