internal import LinuxIO
internal import CLinux
internal import Glibc
package import SystemPackage

/// The terminal of this process, in raw mode as long as this value lives; then it is as it was.
package struct Terminal: ~Copyable, Sendable {
    /// Columns and rows.
    @frozen package struct Size: Sendable, Equatable {
        /// Characters in a line.
        package var columns: Int
        /// Lines.
        package var rows: Int

        /// A size of one's own.
        package init(columns: Int, rows: Int) {
            self.columns = columns
            self.rows = rows
        }
    }

    private let before: termios
    private let input: Descriptor
    private let output: Descriptor

    /// Whether standard input and output are both terminals. isatty(3)
    package static var isPresent: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 }

    /// Takes the terminal over. What is typed comes as it is, Ctrl-C and Ctrl-Z too, and is not shown.
    /// tcsetattr(3)
    package init() throws(Errno) {
        let input = Descriptor(adopting: try checkedErrno(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)))
        let output = Descriptor(
            adopting: try checkedErrno(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)))
        var attributes = termios()
        try checkedErrno(unsafe tcgetattr(input.rawValue, &attributes))
        let before = attributes
        attributes.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
        attributes.c_iflag &= ~tcflag_t(IXON | ICRNL)
        try checkedErrno(unsafe tcsetattr(input.rawValue, TCSAFLUSH, &attributes))
        self.before = before
        self.input = input
        self.output = output
    }

    /// How large the terminal on standard output is now; 80 by 24 where there is none or it does not
    /// say. ioctl_tty(2), `TIOCGWINSZ`
    package static var size: Size {
        var columns: CInt = 0
        var rows: CInt = 0
        guard unsafe clinux_window_size(STDOUT_FILENO, &columns, &rows) == 0, columns > 0, rows > 0
        else { return Size(columns: 80, rows: 24) }
        return Size(columns: Int(columns), rows: Int(rows))
    }

    /// Characters in a line of standard output; nil where that is no terminal, and has no end of lines.
    package static var outputWidth: Int? { isatty(STDOUT_FILENO) == 1 ? size.columns : nil }

    /// What was typed, as bytes; waits up to so many milliseconds for it. Nil when the terminal is
    /// gone.
    package func readKeys(milliseconds: Int) -> [UInt8]? {
        var mark: UInt8 = 0
        let number = input.rawValue
        let ready = unsafe clinux_wait_readable([number], &mark, 1, CInt(clamping: milliseconds))
        guard ready > 0 else { return [] }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = unsafe read(number, &bytes, bytes.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return [] }
        return count > 0 ? Array(bytes.prefix(count)) : nil
    }

    /// Shows a text; one that is gone shows nothing.
    package func write(_ text: String) {
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            // Sound: the count is that of the bytes from there on.
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(
                    output.rawValue, buffer.baseAddress! + written, buffer.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            written += count
        }
    }

    /// Stops this process, as Ctrl-Z does, until it is told to go on. kill(2), `SIGSTOP`
    package static func suspendProcess() {
        // The whole group, as the terminal does it: the shell waits for that.
        kill(0, SIGTSTP)
    }

    deinit {
        var before = before
        _ = unsafe tcsetattr(input.rawValue, TCSAFLUSH, &before)
    }
}
