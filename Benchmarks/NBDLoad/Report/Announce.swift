internal import Glibc
internal import LinuxIO

/// Writes a line to standard output without buffering, so that a program at the other end of a pipe sees it
/// at once.
func announce(_ line: String) {
    try? writeAll(line + "\n", to: STDOUT_FILENO)
}
