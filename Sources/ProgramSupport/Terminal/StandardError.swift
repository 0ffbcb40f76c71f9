internal import Glibc
internal import LinuxIO

/// Notes to the user on standard error.
package enum StandardError {
    /// Writes one line.
    package static func say(_ sentence: String) {
        try? writeAll("ramdisk-nbd: \(sentence)\n", to: STDERR_FILENO)
    }
}
