// What the program's user reads, or another program.

internal import Glibc

/// Writes to standard output at once; a reader that is gone is no reason to stop serving.
func standardOutput(_ text: String) {
    let bytes = Array(text.utf8)
    _ = unsafe write(STDOUT_FILENO, bytes, bytes.count)
}
