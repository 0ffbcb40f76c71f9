internal import CLinux
internal import Glibc
internal import LinuxIO
package import SystemPackage

/// The terminal of this process, which is in raw mode as long as this value lives, and then is as it was before.
package struct Terminal: ~Copyable, Sendable {
    /// The size of a terminal in characters.
    @frozen package struct Size: Sendable, Equatable {
        /// Characters in a line.
        package var columns: Int
        /// Lines.
        package var rows: Int

        /// A size of this many columns and rows.
        package init(columns: Int, rows: Int) {
            self.columns = columns
            self.rows = rows
        }
    }

    private let before: termios
    private let input: Descriptor
    private let output: Descriptor

    /// Whether standard input and output are both terminals. isatty(3)
    package static var isPresent: Bool {
        isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
    }

    /// Puts the terminal in raw mode: keys arrive at once and are not echoed, and Ctrl-C and Ctrl-Z send no
    /// signal. tcsetattr(3)
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

    /// The current size of the terminal on standard output; 80 by 24 when there is none, or its size is
    /// unknown. ioctl_tty(2), `TIOCGWINSZ`
    package static var size: Size {
        var columns: CInt = 0
        var rows: CInt = 0
        guard unsafe clinux_window_size(STDOUT_FILENO, &columns, &rows) == 0, columns > 0, rows > 0
        else { return Size(columns: 80, rows: 24) }
        return Size(columns: Int(columns), rows: Int(rows))
    }

    /// Characters in a line of standard output; nil when it is not a terminal, so that lines have no limit.
    package static var outputWidth: Int? { isatty(STDOUT_FILENO) == 1 ? size.columns : nil }

    /// Waits up to this time for keys, and returns their bytes; nil when the terminal is gone.
    package func readKeys(milliseconds: Int) -> [UInt8]? {
        let source = PollSource.input(descriptor: input.rawValue)
        guard (try? PollSource.poll([source], milliseconds: milliseconds)) == [true] else {
            return []
        }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = unsafe read(input.rawValue, &bytes, bytes.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return [] }
        return count > 0 ? Array(bytes.prefix(count)) : nil
    }

    /// Shows a text; a terminal that is gone shows nothing.
    package func write(_ text: String) {
        try? writeAll(text, to: output.rawValue)
    }

    /// Stops this process, as Ctrl-Z does, until it receives SIGCONT. kill(2), `SIGTSTP`
    package static func suspendProcess() {
        // The whole process group, as the terminal does it: the shell waits for that.
        kill(0, SIGTSTP)
    }

    deinit {
        var before = before
        _ = unsafe tcsetattr(input.rawValue, TCSAFLUSH, &before)
    }
}
