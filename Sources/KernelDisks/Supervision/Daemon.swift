internal import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// The supervisor in the background: a process in a session of its own, whose log is a file beside its
/// record.
package enum Daemon {
    /// Starts the daemon, waits until it is ready, and prints its output. When the daemon fails, this process
    /// exits with the daemon's exit code.
    ///
    /// - Parameter stop: a request to stop that arrives before the daemon is ready is passed on to it.
    package static func start(_ stop: SupervisorMailbox) throws {
        let directory = try RuntimeDirectory.make()
        let path = directory.logPath(of: getpid())
        let log = try LogFile(path)
        let pair = try socketPair()
        let process: ChildProcess
        do throws(Errno) {
            process = try ChildProcess(
                SelfExecution.path, SelfExecution.arguments(role: .daemon),
                streams: [.null, .socket(pair.second.handle), .file(log.handle)],
                ownSession: true)
        } catch {
            throw Failure.system("cannot start the background process: \(error)")
        }
        dispose(of: pair.second)
        let line = readAll(pair.first.handle, stop, process)
        guard line.isEmpty else { return standardOutput(line) }
        let ending = try process.wait()
        standardError(log.text(limit: 64 << 10))
        Directory.removeFile(path)
        Directory.removeEmpty(directory.path)
        switch ending {
        case .exited(let code): exit(code)
        case .killed(let signal):
            throw Failure.system("signal \(signal) killed the background process")
        }
    }

    /// Detaches the daemon from its parent once it is ready. The parent stops reading its output, so standard
    /// output becomes `/dev/null`.
    package static func detach() {
        let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
        guard null >= 0 else { return }
        dup2(null, STDOUT_FILENO)
        Glibc.close(null)
        _ = unsafe chdir("/")
    }

    /// The path of this daemon's log, which its parent has created.
    package static var ownLogPath: String? { RuntimeDirectory()?.logPath(of: getppid()) }

    /// Reads until the daemon closes its end. Meanwhile this process passes signals that ask it to stop on to
    /// the daemon.
    private static func readAll(
        _ socket: SocketHandle, _ stop: SupervisorMailbox, _ process: ChildProcess
    ) -> String {
        guard let buffer = try? MemoryMapping(privateBytes: 8192) else { return "" }
        var bytes: [UInt8] = []
        while true {
            let ready = try? PollSource.poll([.input(socket), stop.pollSource])
            stop.clear()
            if stop.takeStopRequest() { process.signal(SIGTERM) }
            guard ready?[0] == true else { continue }
            guard case .bytes(let count) = socket.receive(into: buffer.region, blocking: true)
            else {
                return String(decoding: bytes, as: UTF8.self)
            }
            bytes += buffer.region.slice(at: 0, count: count).bytes
        }
    }
}

/// Writes to standard error.
private func standardError(_ text: String) {
    try? writeAll(text, to: STDERR_FILENO)
}
