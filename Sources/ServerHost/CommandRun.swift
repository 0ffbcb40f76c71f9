package import ProgramSupport
internal import Glibc
package import LinuxHost
internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// A command, from its start to its exit status.
package final class CommandRun: Sendable {
    private let arguments: [String]
    private let child = Mutex<ChildProcess?>(nil)
    private let status = Mutex<Int32>(0)

    /// A program and its arguments.
    package init(_ arguments: [String]) { self.arguments = arguments }

    /// What the shell would say of its end: its exit status, or 128 and the signal that ended it.
    package var exitCode: Int32 { status.withLock { $0 } }

    /// Starts it, with the disk's place in its environment; `done` is told when it has ended.
    package func start(socketPath: String, uri: String, done: OneShotEvent) throws(Failure) {
        let started: ChildProcess
        do throws(Errno) {
            // The signal thread waits for the lock: the command may run before the call that starts it
            // returns, and a signal that arrives meanwhile is for the command.
            started = try child.withLock { (child) throws(Errno) in
                let started = try ChildProcess(
                    command: arguments,
                    // The names that nbdkit uses, and one that says what it is.
                    environment: [("NBD_URI", uri), ("uri", uri), ("unixsocket", socketPath)])
                child = started
                return started
            }
        } catch {
            throw .cannotRun(arguments[0], error)
        }
        do throws(Errno) {
            _ = try Thread(name: "command") {
                let code: Int32 =
                    switch try? started.wait() {
                    case .exited(let code): code
                    case .killed(let signal): 128 + signal
                    // The kernel does not report its end, since SIGCHLD was ignored at the start. `EX_OSERR`
                    case nil: 71
                    }
                self.status.withLock { $0 = code }
                done.signal()
            }
        } catch {
            started.signal(SIGTERM)
            throw .system("cannot start a thread: \(error)")
        }
    }

    /// Passes a signal on, and says whether there is a command yet. A key of the terminal's has reached
    /// it already: then it is not told twice.
    package func forward(_ signal: Int32) -> Bool {
        guard let child = child.withLock({ $0 }) else { return false }
        let isKey = signal == SIGINT || signal == SIGQUIT
        if !isKey || !ChildProcess.isInForeground { child.signal(signal) }
        return true
    }
}

extension Failure {
    /// A command cannot be started; the exit codes are a shell's.
    fileprivate static func cannotRun(_ command: String, _ error: Errno) -> Failure {
        Failure(
            sentence: "cannot run \(command): \(error)",
            exitCode: error == .noSuchFileOrDirectory ? 127 : 126)
    }
}
