package import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

extension SupervisorMailbox {
    /// Creates a mailbox that turns signals into requests: SIGTERM, SIGINT and SIGHUP ask to stop, SIGUSR1
    /// asks for the memory use. For as long as the process runs, these signals have no other effect. Call
    /// this before other threads exist.
    package static func fromSignals() throws(Failure) -> SupervisorMailbox {
        do throws(Errno) {
            let request = try SupervisorMailbox()
            try SignalWaiter([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).handle { number in
                if number == SIGUSR1 {
                    request.requestStatistics()
                } else {
                    request.request(signal: number)
                }
            }
            return request
        } catch {
            throw .system("cannot start the thread that waits for signals: \(error)")
        }
    }
}
