internal import LinuxIO
internal import Glibc
package import SystemPackage

/// A file that is open for writing.
package struct OutputFile: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Makes a file, or empties the one that is there. open(2)
    package init(creating path: String) throws(Errno) {
        let number = try checkedErrno(
            unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666))
        descriptor = Descriptor(adopting: number)
    }

    /// Takes over this process's standard output, as another descriptor of it. dup(2)
    package init(standardOutput: Void) throws(Errno) {
        let number = try checkedErrno(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3))
        descriptor = Descriptor(adopting: number)
    }

    /// Writes all of it, or throws when that is not possible: a full disk, a reader that has gone.
    /// write(2)
    package func write(_ bytes: [UInt8]) throws(Errno) {
        var written = 0
        while written < bytes.count {
            // Sound: the count is that of the bytes from there on.
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(
                    descriptor.rawValue, buffer.baseAddress! + written, buffer.count - written)
            }
            if count < 0, errno == EINTR { continue }
            try checkedErrno(CInt(clamping: count))
            written += count
        }
    }

    /// Writes all of a text.
    package func write(_ text: String) throws(Errno) { try write(Array(text.utf8)) }

    /// Whether a person may be looking: it is a terminal. isatty(3)
    package var isTerminal: Bool { isatty(descriptor.rawValue) == 1 }
}
