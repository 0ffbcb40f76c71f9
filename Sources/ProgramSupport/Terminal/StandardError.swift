internal import Glibc

/// Notes to the user on standard error.
package enum StandardError {
    /// Writes one line.
    package static func say(_ sentence: String) {
        let bytes = Array("ramdisk-nbd: \(sentence)\n".utf8)
        _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
    }
}
