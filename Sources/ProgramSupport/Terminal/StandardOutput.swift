internal import Glibc
internal import LinuxIO
internal import Synchronization
package import SystemPackage

/// Standard output, and the first error in writing to it.
package enum StandardOutput {
    private static let trouble = Mutex<Errno?>(nil)

    /// Writes a text at once. Returns the error, if there is one. write(2)
    package static func write(_ text: String) -> Errno? {
        ProgressLine.clear()
        do throws(Errno) {
            try writeAll(text, to: STDOUT_FILENO)
            return nil
        } catch {
            return error
        }
    }

    /// Writes a text, and remembers an error. A reader that has closed its pipe has read enough: this is not an error.
    /// Returns false when further output is useless.
    package static func print(_ text: String) -> Bool {
        guard let error = write(text) else { return true }
        if error != .brokenPipe { trouble.withLock { $0 = error } }
        return false
    }

    /// Throws if output was lost. Call it at the end of a command.
    package static func check() throws(Failure) {
        if let error = trouble.withLock({ $0 }) {
            throw .inputOutput("cannot write to standard output: \(error)")
        }
    }
}

/// Prints a text. If that fails, the program exits with an error status when its work is done.
package func standardOutput(_ text: String) { _ = StandardOutput.print(text) }
