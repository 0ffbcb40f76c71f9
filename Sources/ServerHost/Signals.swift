// What signals do: stop, stop at once, tell figures.

internal import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

extension DiskService {
    /// Runs the service until it ends by itself or a signal ends it.
    package func runObeyingSignals() throws {
        // A reader of our output that goes away must not take the disk with it.
        signal(SIGPIPE, SIG_IGN)
        var numbers = [SIGTERM, SIGINT, SIGHUP, SIGUSR1]
        if configuration.purpose.command != nil { numbers.append(SIGQUIT) }
        do throws(Errno) {
            try SignalWaiter(numbers).handle { obey($0) }
        } catch {
            throw Failure.system("cannot start a thread: \(error)")
        }
        try run()
    }

    private func obey(_ received: Int32) {
        if received == SIGUSR1 {
            logFigures()
        } else if let command = configuration.purpose.command {
            // Its end is ours. Before its start there is nothing to be ended in order.
            if !command.forward(received) { endAtOnce(received) }
        } else if !isServing {
            // Still starting, which takes long for a large disk: nothing has to be finished.
            endAtOnce(received)
        } else if !end() {
            endAtOnce(received)
        }
    }

    /// The second signal, or one that comes before the server serves: nothing is finished any more, and the
    /// exit status says so.
    private func endAtOnce(_ received: Int32) -> Never {
        removeFiles()
        Protection.end()
        _exit(128 + received)
    }
}
