// Notes to the person who started a command, beside what it prints.

internal import Glibc

package enum StandardError {
    /// One line.
    package static func say(_ sentence: String) {
        let bytes = Array("ramdisk-nbd: \(sentence)\n".utf8)
        _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
    }
}
