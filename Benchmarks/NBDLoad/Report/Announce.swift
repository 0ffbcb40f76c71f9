internal import Glibc

/// Prints a line, also when standard output is a pipe and would be buffered.
func announce(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe write(STDOUT_FILENO, bytes, bytes.count)
}
