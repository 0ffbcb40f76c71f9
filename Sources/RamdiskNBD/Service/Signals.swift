// What signals do: stop, stop at once, tell figures.

internal import Glibc
internal import LinuxIO
internal import SystemPackage

extension DiskService {
    /// Runs the service until it ends by itself or a signal ends it.
    func runObeyingSignals() throws {
        // A reader of our output that goes away must not take the disk with it.
        signal(SIGPIPE, SIG_IGN)
        var numbers = [SIGTERM, SIGINT, SIGHUP, SIGUSR1]
        if configuration.purpose.command != nil { numbers.append(SIGQUIT) }
        do throws(Errno) {
            try AwaitedSignals(numbers).handle { obey($0) }
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
            // Still taking memory, which can last for a large disk: nothing has to be finished.
            removeFiles()
            _exit(0)
        } else if !end() {
            endAtOnce(received)
        }
    }

    /// The second signal: nothing is finished any more.
    private func endAtOnce(_ received: Int32) -> Never {
        removeFiles()
        _exit(128 + received)
    }
}
