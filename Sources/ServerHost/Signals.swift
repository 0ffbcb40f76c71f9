internal import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

extension DiskService {
    /// Runs the service until it ends by itself or a signal ends it. A first SIGTERM, SIGINT or SIGHUP stops it
    /// gracefully, a second one at once; SIGUSR1 logs the memory of the disks. Supervisors have another policy
    /// (`SupervisorMailbox.fromSignals()`): a second signal must not abandon a device in use.
    package func runObeyingSignals() throws {
        // A reader of the output that closes its pipe must not end the server.
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
            logMemoryUse()
        } else if let command = configuration.purpose.command {
            // The service ends when the command does. Before its start, there is nothing to stop gracefully.
            if !command.forward(received) { endAtOnce(received) }
        } else if !isServing {
            // Still starting, which takes long for a large disk: there is no request to finish.
            endAtOnce(received)
        } else if !end() {
            endAtOnce(received)
        }
    }

    /// Ends the process at once, for a second signal or one before the server serves. Requests are not finished,
    /// and the exit status contains the signal.
    private func endAtOnce(_ received: Int32) -> Never {
        removeFiles()
        Protection.end()
        _exit(128 + received)
    }
}
