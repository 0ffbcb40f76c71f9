internal import LinuxIO
internal import Logging
internal import ProgramSupport
internal import Synchronization
internal import SystemPackage

/// The worker's requests to its supervisor to freeze the disk's file system for the instant of a save. Threads that
/// save call ``freeze()``; the thread that receives the supervisor's messages calls the rest.
final class FreezeBySupervisor: Sendable {
    /// Milliseconds to wait for the supervisor. Freezing writes the file system's dirty pages.
    static var answerTimeLimit: Int { 30_000 }
    /// Milliseconds after the supervisor's reply during which the file system may be frozen: as long as the supervisor
    /// keeps it frozen in any case, and the same again, several times, for a machine that is busy.
    static var longestFreeze: Int { 5 * FreezeForWorker.longest }

    /// A thread that waits for the supervisor's reply.
    private final class Waiter: Sendable {
        let wakeUp: EventFD
        let answer = Mutex<Answer?>(nil)

        init() throws(Errno) { wakeUp = try EventFD() }

        func wake(with answer: Answer?) {
            self.answer.withLock { $0 = answer }
            wakeUp.signal()
        }
    }

    private struct Answer { var failure: String? }

    private struct State {
        /// Nil when nothing is mounted, and when no supervisor can freeze it any more.
        var mountPoint: String?
        var lastNumber: UInt64 = 0
        var waiters: [UInt64: Waiter] = [:]
        /// The requests to which the supervisor has not replied. It may carry them out after the waiting thread has
        /// given up.
        var unanswered: Set<UInt64> = []
        /// When the supervisor last said that the file system is frozen.
        var lastFrozen: MonotonicTime?
    }

    private let state = Mutex(State())
    private let send: @Sendable (WorkerMessage) -> Void
    private let thaw: @Sendable (_ point: String) -> Void
    private let logger: Logger

    /// - Parameters:
    ///   - thaw: thaws the file system at a mount point.
    ///   - send: sends a message to the supervisor; called on any thread.
    init(
        logger: Logger,
        thaw: @escaping @Sendable (_ point: String) -> Void = FrozenFileSystem.thaw(at:),
        send: @escaping @Sendable (WorkerMessage) -> Void
    ) {
        self.logger = logger
        self.thaw = thaw
        self.send = send
    }

    /// Sets where the file system is mounted; nil when it is not.
    func setMountPoint(_ path: String?) { state.withLock { $0.mountPoint = path } }

    /// Asks the supervisor to freeze the file system, if one is mounted, and returns a function that thaws it. When the
    /// supervisor does not reply in time, the save is made all the same: it then holds what a power cut would leave.
    ///
    /// - Throws: why the supervisor could not freeze it.
    func freeze() throws(Failure) -> @Sendable () -> Void {
        let waiter: Waiter
        do throws(Errno) {
            waiter = try Waiter()
        } catch {
            throw .system("cannot create an event descriptor: \(error)")
        }
        let requestID: UInt64? = state.withLock { state in
            guard state.mountPoint != nil else { return nil }
            state.lastNumber += 1
            state.waiters[state.lastNumber] = waiter
            state.unanswered.insert(state.lastNumber)
            return state.lastNumber
        }
        guard let requestID else { return {} }
        send(.freeze(requestID))
        _ = try? PollSource.poll([.event(waiter.wakeUp)], milliseconds: Self.answerTimeLimit)
        state.withLock { _ = $0.waiters.removeValue(forKey: requestID) }
        let answer = waiter.answer.withLock { $0 }
        if let reason = answer?.failure { throw .system(reason) }
        if answer == nil {
            logger.warning("the supervisor has not frozen the file system; saving it as it is")
        }
        return { [send] in send(.thaw(requestID)) }
    }

    /// Passes on the supervisor's reply to a request.
    func answered(_ requestID: UInt64, failure: String?) {
        let waiter = state.withLock { state in
            if state.unanswered.remove(requestID) != nil, failure == nil {
                state.lastFrozen = .now()
            }
            return state.waiters[requestID]
        }
        waiter?.wake(with: Answer(failure: failure))
    }

    /// Freezes nothing any more, and wakes the threads that wait. Returns the last mount point.
    @discardableResult
    func end() -> String? {
        let (point, waiters) = state.withLock { state in
            let result = (state.mountPoint, Array(state.waiters.values))
            state.mountPoint = nil
            return result
        }
        for waiter in waiters { waiter.wake(with: nil) }
        return point
    }

    /// Thaws the file system in place of a dead supervisor, if that may have frozen it for a save of this worker. A
    /// file system that another process has frozen stays frozen.
    func supervisorIsGone(at now: MonotonicTime = .now()) {
        let mayBeFrozen = state.withLock { state in
            let end = state.lastFrozen?.adding(milliseconds: Self.longestFreeze)
            return !state.unanswered.isEmpty || end.map { now < $0 } ?? false
        }
        guard let point = end(), mayBeFrozen else { return }
        thaw(point)
    }
}
