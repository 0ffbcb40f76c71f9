// Notes to the person who started a command, beside what it prints.

internal import Glibc
internal import LinuxIO

package enum StandardError {
    /// One line.
    package static func say(_ sentence: String) {
        try? writeAll("ramdisk-nbd: \(sentence)\n", to: STDERR_FILENO)
    }
}
