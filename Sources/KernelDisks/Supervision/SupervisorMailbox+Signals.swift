package import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

extension SupervisorMailbox {
    /// The signal with which `down --force` asks a supervisor to take down a disk that cannot be saved.
    static var unsavedTakeDown: Int32 { SIGUSR2 }

    /// Creates a mailbox that turns signals into requests: SIGTERM, SIGINT and SIGHUP ask to stop, SIGUSR1 asks for the
    /// memory use, ``unsavedTakeDown`` asks to stop even if the disk cannot be saved. Until the process ends, these
    /// signals have no other effect: unlike a server (`DiskService.runObeyingSignals()`), a supervisor never ends at
    /// once, since a device in use would lose its server. Call this before other threads exist.
    package static func fromSignals() throws(Failure) -> SupervisorMailbox {
        do throws(Errno) {
            let request = try SupervisorMailbox()
            let signals = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, unsavedTakeDown]
            try SignalWaiter(signals).handle { number in
                switch number {
                case SIGUSR1: request.requestStatistics()
                case unsavedTakeDown: request.requestUnsavedTakeDown(signal: number)
                default: request.request(signal: number)
                }
            }
            return request
        } catch {
            throw .system("cannot start the thread that waits for signals: \(error)")
        }
    }
}
