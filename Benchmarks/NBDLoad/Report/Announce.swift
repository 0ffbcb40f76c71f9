internal import Glibc
internal import LinuxIO

/// Prints a line, also when standard output is a pipe and would be buffered.
func announce(_ line: String) {
    try? writeAll(line + "\n", to: STDOUT_FILENO)
}
