package import LinuxIO
internal import CLinux
internal import Glibc
package import SystemPackage

/// A program that has been started. Its end has to be waited for, once.
package final class ChildProcess: Sendable {
    /// How a process ended.
    package enum Ending: Sendable, Equatable {
        /// With an exit code.
        case exited(Int32)
        /// By a signal.
        case killed(Int32)
    }

    /// Its number.
    package let pid: Int32
    let descriptor: Descriptor

    /// What a child gets as one of its descriptors.
    package enum Stream: Sendable {
        /// Nothing: /dev/null.
        case null
        /// This process's own standard output, or error.
        case standardOutput, standardError
        /// A socket.
        case socket(SocketHandle)
        /// A file that what is written goes to.
        case file(LogFileHandle)
        /// Memory that what is written goes to.
        case memory(SharedMemoryHandle)

        var descriptor: CInt {
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

    /// Starts a program: a path, or a name that is looked for in PATH. posix_spawnp(3)
    ///
    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - streams: its descriptors from 0 on; it gets no others.
    ///   - ownSession: whether a terminal's signals, such as Ctrl-C, must not reach it.
    package init(
        _ program: String, _ arguments: [String], streams: [Stream], ownSession: Bool = false
    ) throws(Errno) {
        let numbers = streams.map(\.descriptor)
        let words = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
        defer { unsafe words.forEach { unsafe free($0) } }
        // Sound: a list of C strings that ends with NULL, all alive until the call is back.
        pid = try checked(
            unsafe clinux_spawn(program, words, numbers, numbers.count, ownSession ? 1 : 0))
        descriptor = try Self.descriptor(of: pid)
        MemoryPressure.restoreOOMScore(of: pid)
    }

    /// A descriptor for a child that has just been started. Without one it could not be waited for, so
    /// the child is killed, and gone when this throws. pidfd_open(2)
    static func descriptor(
        of process: Int32, open: (CInt) -> CInt = clinux_process_descriptor
    ) throws(Errno) -> Descriptor {
        let number = open(process)
        if number < 0 {
            kill(process, SIGKILL)
            _ = clinux_wait_process(process)
        }
        return Descriptor(adopting: try checked(number))
    }

    /// Sends it a signal. kill(2)
    package func signal(_ signal: Int32) { kill(pid, signal) }

    /// Waits for its end; to be called once. waitpid(2)
    package func wait() throws(Errno) -> Ending {
        let status = try checked(clinux_wait_process(pid))
        return status < 256 ? .exited(status) : .killed(status - 256)
    }
}

extension ChildProcess {
    /// What ``run(_:_:)`` answers.
    package struct Result: Sendable {
        /// How it ended.
        package let ending: Ending
        /// What it wrote to standard output and standard error, at most 64 KiB.
        package let output: String
    }

    /// Runs a program to its end, with nothing to read. Throws `noSuchFileOrDirectory` when there is
    /// no such program.
    package static func run(_ program: String, _ arguments: [String]) throws(Errno) -> Result {
        // Memory, unlike a pipe, never makes the program wait for a reader.
        let output = try SharedMemory(name: "output", size: 0)
        let stream = Stream.memory(output.handle)
        let process = try ChildProcess(program, arguments, streams: [.null, stream, stream])
        return Result(ending: try process.wait(), output: output.text(limit: 64 << 10))
    }
}

extension SharedMemory {
    /// What has been written to it as a file, at most so many bytes. pread(2)
    func text(limit: Int) -> String {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = unsafe pread(descriptor.rawValue, &bytes, limit, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
