internal import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// A process of its own session, whose log is a file beside its record.
package enum Daemon {
    /// Starts it, waits until it is ready, and prints what it prints. Its failure is this one's.
    ///
    /// - Parameter stop: a wish to stop before it is ready is passed on to it.
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
            throw Failure.system("cannot start the process in the background: \(error)")
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
            throw Failure.system("the process in the background was killed by signal \(signal)")
        }
    }

    /// In the daemon, when it is ready: nobody reads its output from here on.
    package static func detach() {
        let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
        guard null >= 0 else { return }
        dup2(null, STDOUT_FILENO)
        Glibc.close(null)
        _ = unsafe chdir("/")
    }

    /// In the daemon: where its log is, as its parent has made it.
    package static var ownLogPath: String? { RuntimeDirectory()?.logPath(of: getppid()) }

    /// What comes until the other end is closed. Meanwhile, signals that end this process are the daemon's.
    private static func readAll(
        _ socket: SocketHandle, _ stop: SupervisorMailbox, _ process: ChildProcess
    ) -> String {
        guard let buffer = try? MemoryMapping(privateBytes: 8192) else { return "" }
        var bytes: [UInt8] = []
        while true {
            let ready = try? PollSource.poll([.input(socket), stop.item])
            stop.clear()
            if stop.take() { process.signal(SIGTERM) }
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
