internal import Glibc
internal import LinuxIO
internal import ProgramSupport
internal import ServerHost
internal import Synchronization
internal import SystemPackage

/// Ends the process when it is asked to stop while it makes the memory of a disk. That can take minutes, and cannot
/// be interrupted otherwise.
///
/// Two threads take part. The maker makes the memory and then calls ``close()``. The watcher looks for a request to
/// stop. The one that changes `state` first decides. After the maker, a stop undoes the start step by step. After the
/// watcher, the process ends, and the maker does not go on to publish the disk or to create files.
final class InterruptibleStart: Sendable {
    private enum State {
        static let open: UInt8 = 0
        static let closed: UInt8 = 1
        static let interrupted: UInt8 = 2
    }

    private let state = Atomic<UInt8>(State.open)
    /// Milliseconds between two looks for a request to stop.
    private static let interval = 50

    /// Starts the watcher.
    ///
    /// - Parameter cleanUp: called on the watcher before it ends the process.
    init(_ stop: SupervisorMailbox, cleanUp: @escaping @Sendable () -> Void) throws(Failure) {
        do throws(Errno) {
            try Thread(name: "interrupt") { [self] in watch(stop, cleanUp) }.detach()
        } catch {
            throw .system("cannot start a thread: \(error)")
        }
    }

    private func watch(_ stop: SupervisorMailbox, _ cleanUp: () -> Void) {
        while state.load(ordering: .acquiring) == State.open {
            guard stop.isStopRequested else {
                Thread.sleep(milliseconds: Self.interval)
                continue
            }
            guard decide(State.interrupted) == State.open else { return }
            cleanUp()
            Protection.end()
            let failure = Failure.interrupted(by: stop.signal)
            failure.report()
            _exit(failure.kind.rawValue)
        }
    }

    /// Ends the watch, also when the start has failed. Returns only if the watcher does not end the process.
    func close() {
        while decide(State.closed) == State.interrupted { Thread.sleep(milliseconds: 1_000) }
    }

    /// Sets the state if none is set yet, and returns the one before.
    private func decide(_ new: UInt8) -> UInt8 {
        state.compareExchange(
            expected: State.open, desired: new, ordering: .acquiringAndReleasing
        ).original
    }
}
