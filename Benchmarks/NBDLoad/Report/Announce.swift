internal import Glibc

/// Writes a line to standard output without buffering, so that a program at the other end of a pipe sees it
/// at once.
func announce(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe write(STDOUT_FILENO, bytes, bytes.count)
}
