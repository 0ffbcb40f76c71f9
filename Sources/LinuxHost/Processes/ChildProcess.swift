internal import CLinux
internal import Glibc
package import LinuxIO
internal import Synchronization
package import SystemPackage

/// A program that this process has started, and the duty to wait for its end, once.
package final class ChildProcess: Sendable {
    /// The way a process ended.
    package enum Ending: Sendable, Equatable {
        /// With an exit code.
        case exited(Int32)
        /// By a signal.
        case killed(Int32)
    }

    /// The source of one of a child's descriptors.
    package enum Stream: Sendable {
        /// /dev/null.
        case null
        /// This process's own standard output or error.
        case standardOutput, standardError
        /// A socket.
        case socket(SocketHandle)
        /// A log file.
        case file(LogFileHandle)
        /// Shared memory, as a file.
        case memory(SharedMemoryHandle)

        fileprivate var descriptor: CInt {
            switch self {
            case .null: -1
            case .standardOutput: STDOUT_FILENO
            case .standardError: STDERR_FILENO
            case .socket(let handle): handle.rawValue
            case .file(let handle): handle.rawValue
            case .memory(let handle): handle.rawValue
            }
        }
    }

    /// The process id.
    package let pid: Int32
    /// Readable when the process has ended; nil for a foreground command, which no thread polls.
    private let exitDescriptor: Descriptor?
    /// Whether ``wait()`` has returned: the pid may be another process's then.
    private let isReaped = Mutex(false)

    /// Starts a program, given as a path or a name that is searched for in PATH. posix_spawnp(3)
    ///
    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - streams: the child's descriptors from 0 on; it gets no others.
    ///   - ownSession: whether the child gets a session of its own, which a terminal's signals, such as that
    ///     of Ctrl-C, do not reach.
    package init(
        _ program: String, _ arguments: [String], streams: [Stream], ownSession: Bool = false
    ) throws(Errno) {
        let descriptors = streams.map(\.descriptor)
        pid = try checked(
            unsafe withCStrings([program] + arguments) { arguments in
                unsafe clinux_spawn(
                    arguments, nil, 0, descriptors, descriptors.count, ownSession ? 1 : 0)
            })
        exitDescriptor = try Self.exitDescriptor(of: pid)
        MemoryPressure.restoreOOMScore(of: pid)
    }

    /// Starts a command that takes this process's place in the foreground: it inherits all descriptors, the
    /// terminal and the environment, with additions. The command is searched for as a shell does. The
    /// signals that this program handles have their default actions in it. posix_spawnp(3)
    ///
    /// - Throws: what exec(3) fails with: `noSuchFileOrDirectory`, `permissionDenied` and the like.
    package init(
        command: [String], environment additions: [(name: String, value: String)]
    ) throws(Errno) {
        pid = try checked(
            unsafe withCStrings(command) { arguments in
                unsafe withCStrings(additions.map { "\($0.name)=\($0.value)" }) { settings in
                    unsafe clinux_spawn(arguments, settings, additions.count, nil, 0, 0)
                }
            })
        exitDescriptor = nil
        MemoryPressure.restoreOOMScore(of: pid)
    }

    /// Returns a descriptor for a child that has just started. Without one no thread could wait for the
    /// child, so when this throws, it has killed the child and waited for its end. pidfd_open(2)
    static func exitDescriptor(
        of pid: Int32, open: (CInt) -> CInt = clinux_process_descriptor
    ) throws(Errno) -> Descriptor {
        let result = open(pid)
        if result < 0 {
            kill(pid, SIGKILL)
            _ = clinux_wait_process(pid)
        }
        return Descriptor(adopting: try checked(result))
    }

    /// Sends a signal to the process, unless ``wait()`` has returned. kill(2)
    package func signal(_ signal: Int32) {
        isReaped.withLock { isReaped in
            if !isReaped { kill(pid, signal) }
        }
    }

    /// Waits until the process has ended. Call this once. waitid(2), waitpid(2)
    package func wait() throws(Errno) -> Ending {
        var info = unsafe siginfo_t()
        // WNOWAIT keeps the pid in use until signal(_:) can no longer send to it.
        while unsafe waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) < 0 {
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
        return try isReaped.withLock { (isReaped) throws(Errno) in
            let status = try checked(clinux_wait_process(pid))
            isReaped = true
            return status < 256 ? .exited(status) : .killed(status - 256)
        }
    }

    /// Whether this process and its children are in the foreground of the terminal: then a signal that a
    /// key sends has reached the children as well. tcgetpgrp(3)
    package static var isInForeground: Bool {
        guard let terminal = try? Descriptor(opening: "/dev/tty", .readOnly) else { return false }
        return tcgetpgrp(terminal.rawValue) == getpgrp()
    }
}

extension PollSource {
    /// A child has ended. A foreground command never counts as ended here.
    package static func exit(_ process: ChildProcess) -> PollSource {
        // poll(2) ignores an entry with a negative descriptor.
        .input(descriptor: process.exitDescriptorValue)
    }
}

extension ChildProcess {
    fileprivate var exitDescriptorValue: CInt {
        switch exitDescriptor {
        case .some(let descriptor): descriptor.rawValue
        case .none: -1
        }
    }

    /// The result of ``run(_:_:)``.
    package struct Result: Sendable {
        /// The way the program ended.
        package let ending: Ending
        /// Its standard output and standard error, at most 64 KiB.
        package let output: String
    }

    /// Runs a program to its end, with an empty standard input.
    ///
    /// - Throws: `noSuchFileOrDirectory` when there is no such program.
    package static func run(_ program: String, _ arguments: [String]) throws(Errno) -> Result {
        // Memory, unlike a pipe, never makes the program wait for a reader.
        let output = try SharedMemory(name: "output", size: 0)
        let stream = Stream.memory(output.handle)
        let process = try ChildProcess(program, arguments, streams: [.null, stream, stream])
        return Result(
            ending: try process.wait(), output: output.descriptor.text(limit: 64 << 10))
    }
}

/// Lends texts as a list of C strings that ends with NULL.
private func withCStrings(
    _ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> CInt
) -> CInt {
    let pointers = unsafe texts.map { unsafe strdup($0) } + [nil]
    defer { unsafe pointers.forEach { unsafe free($0) } }
    return unsafe body(pointers)
}
