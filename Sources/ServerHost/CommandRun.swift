internal import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// A command that runs beside the server, from its start to its exit status.
package final class CommandRun: Sendable {
    private let arguments: [String]
    private let child = Mutex<ChildProcess?>(nil)
    private let status = Mutex<Int32>(0)

    /// A program with its arguments.
    package init(_ arguments: [String]) { self.arguments = arguments }

    /// The exit code as a shell has it: the command's exit status, or 128 plus the signal that killed it.
    package var exitCode: Int32 { status.withLock { $0 } }

    /// The pid of the command; nil before its start.
    var pid: Int32? { child.withLock { $0?.pid } }

    /// Starts the command, with the address of the disk in its environment. Fulfils `done` when it has ended.
    func start(socketPath: String, uri: String, done: OneShotEvent) throws(Failure) {
        let started: ChildProcess
        do throws(Errno) {
            // The signal thread waits for the lock: the command may run before the call that starts it
            // returns, and a signal that arrives meanwhile is for the command.
            started = try child.withLock { (child) throws(Errno) in
                let started = try ChildProcess(
                    command: arguments,
                    // `uri` and `unixsocket` are nbdkit's names; NBD_URI is a clearer one.
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

    /// Forwards a signal. Returns false if the command has not started. A signal from a key of the terminal has
    /// reached the command already, and is not sent twice.
    func forward(_ signal: Int32) -> Bool {
        guard let child = child.withLock({ $0 }) else { return false }
        let isKey = signal == SIGINT || signal == SIGQUIT
        if !isKey || !ChildProcess.isInForeground { child.signal(signal) }
        return true
    }
}

extension Failure {
    /// The failure for a command that cannot be started; the exit codes are a shell's.
    fileprivate static func cannotRun(_ command: String, _ error: Errno) -> Failure {
        Failure(
            .other(error == .noSuchFileOrDirectory ? 127 : 126), "cannot run \(command): \(error)")
    }
}
