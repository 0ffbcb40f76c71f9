internal import Glibc
internal import LinuxIO
internal import Synchronization
package import SystemPackage

/// Standard output, and whether everything got there.
package enum StandardOutput {
    private static let trouble = Mutex<Errno?>(nil)

    /// Writes a text at once. Returns what is in the way, if something is. write(2)
    package static func write(_ text: String) -> Errno? {
        do throws(Errno) {
            try writeAll(text, to: STDOUT_FILENO)
            return nil
        } catch {
            return error
        }
    }

    /// Writes a text, and remembers when that fails. A reader that has gone has read enough. False when
    /// nobody will read any more.
    package static func print(_ text: String) -> Bool {
        guard let error = write(text) else { return true }
        if error != .brokenPipe { trouble.withLock { $0 = error } }
        return false
    }

    /// To be called at the end of a command: throws when its user has not got all of its output.
    package static func check() throws(Failure) {
        if let error = trouble.withLock({ $0 }) {
            throw .inputOutput("cannot write to standard output: \(error)")
        }
    }
}

/// Prints a text; a failure ends the program with an exit status that says so, when its work is done.
package func standardOutput(_ text: String) { _ = StandardOutput.print(text) }
