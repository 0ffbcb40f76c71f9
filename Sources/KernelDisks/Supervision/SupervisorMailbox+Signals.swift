// The signals that ask for an end, as a wish that a thread finds.

package import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

extension SupervisorMailbox {
    /// SIGTERM, SIGINT and SIGHUP, and SIGUSR1 for figures, are wishes as long as the process runs, and
    /// end nothing by themselves. To be called before there are other threads.
    package static func fromSignals() throws(Failure) -> SupervisorMailbox {
        do throws(Errno) {
            let request = try SupervisorMailbox()
            try SignalWaiter([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).handle { number in
                if number == SIGUSR1 {
                    request.requestFigures()
                } else {
                    request.request(signal: number)
                }
            }
            return request
        } catch {
            throw .system("cannot make a thread that waits for signals: \(error)")
        }
    }
}
