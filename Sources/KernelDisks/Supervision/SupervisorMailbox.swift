internal import LinuxHost
internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// The requests to the thread that looks after a disk: to stop, to log the memory use, or to poll. Any thread
/// may post one; the thread that looks after the disk waits for them and takes them.
package final class SupervisorMailbox: Sendable {
    private let isTakeDownRequested = Atomic<Bool>(false)
    private let lastSignal = Atomic<Int32>(0)
    private let mayLoseChanges = Atomic<Bool>(false)
    private let isStatisticsRequested = Atomic<Bool>(false)
    private let wakeUp: EventFD

    init() throws(Errno) { wakeUp = try EventFD() }

    /// Asks to take the disk down; `signal` is the signal that has caused this, or 0.
    func request(signal: Int32 = 0) {
        lastSignal.store(signal, ordering: .relaxed)
        isTakeDownRequested.store(true, ordering: .releasing)
        wakeUp.signal()
    }

    /// Asks to take the disk down even if it cannot be saved to its image.
    func requestUnsavedTakeDown(signal: Int32 = 0) {
        mayLoseChanges.store(true, ordering: .releasing)
        request(signal: signal)
    }

    /// Whether a request asks to take the disk down even if it cannot be saved.
    var isUnsavedTakeDownRequested: Bool { mayLoseChanges.load(ordering: .acquiring) }

    /// Asks to log how much memory the disk uses.
    func requestStatistics() {
        isStatisticsRequested.store(true, ordering: .releasing)
        wakeUp.signal()
    }

    /// Returns whether the memory use was asked for since the last call, and clears the request.
    func takeStatisticsRequest() -> Bool {
        isStatisticsRequested.exchange(false, ordering: .acquiringAndReleasing)
    }

    /// Wakes the thread that looks after the disk, so that it polls.
    func nudge() { wakeUp.signal() }

    /// Returns whether a stop was requested since the last call, and clears the request.
    func takeStopRequest() -> Bool {
        isTakeDownRequested.exchange(false, ordering: .acquiringAndReleasing)
    }

    /// The signal that last requested a stop; 0 if none did.
    package var signal: Int32 { lastSignal.load(ordering: .relaxed) }

    /// Whether a stop is requested.
    package var isStopRequested: Bool { isTakeDownRequested.load(ordering: .acquiring) }

    /// Ready when a request has been posted.
    var pollSource: PollSource { .event(wakeUp) }

    /// Resets ``pollSource``; requests stay posted until they are taken.
    func clear() { wakeUp.clear() }
}
