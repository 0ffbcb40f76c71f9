internal import CLinux
internal import Glibc
internal import LinuxIO
package import SystemPackage

/// A file that is open for writing.
package struct OutputFile: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Creates a file, or truncates the existing one. open(2)
    package init(creating path: String) throws(Errno) {
        descriptor = try Descriptor(
            opening: path, .writeOnly, options: [.create, .truncate],
            permissions: FilePermissions(rawValue: 0o666))
    }

    /// Uses another descriptor of this process's standard output. fcntl(2), `F_DUPFD_CLOEXEC`
    package init(standardOutput: Void) throws(Errno) {
        descriptor = Descriptor(
            adopting: try checkedErrno(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)))
    }

    /// Writes all bytes. write(2)
    ///
    /// - Throws: when that is not possible, because the disk is full or the reader has closed its end, for example.
    package func write(_ bytes: [UInt8]) throws(Errno) {
        try writeAll(bytes, to: descriptor.rawValue)
    }

    /// Writes all of a text.
    package func write(_ text: String) throws(Errno) { try write(Array(text.utf8)) }

    /// Whether the file is a terminal. isatty(3)
    package var isTerminal: Bool { isatty(descriptor.rawValue) == 1 }
}

/// A file for the output of another process, which only its owner can read.
package struct LogFile: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Opens the file for appending, and creates it when it does not exist. open(2), `O_APPEND`
    package init(_ path: String) throws(Errno) {
        descriptor = try Descriptor(
            opening: path, .readWrite, options: [.create, .append, .noFollow],
            permissions: .ownerReadWrite)
    }

    /// Returns what has been written to the file, at most `limit` bytes, even after its name has been removed.
    /// pread(2)
    package func text(limit: Int) -> String { descriptor.text(limit: limit) }

    /// A way to pass the file to a child, as long as this value lives.
    package var handle: LogFileHandle { LogFileHandle(rawValue: descriptor.rawValue) }
}

/// A log file that another value owns.
package struct LogFileHandle: Sendable, BitwiseCopyable {
    let rawValue: CInt
}
