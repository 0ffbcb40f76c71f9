internal import CLinux
internal import Glibc
internal import LinuxIO
package import SystemPackage

/// The program that this process runs.
package enum ProcessImage {
    /// Replaces the program of this process by another one, which keeps the pid, the environment, and every
    /// descriptor that is not closed on exec. Returns only the error. execv(3)
    ///
    /// - Parameter arguments: without the program's name.
    package static func replace(
        with program: String, name: String, arguments: [String]
    ) -> Errno {
        let pointers = unsafe ([name] + arguments).map { unsafe strdup($0) } + [nil]
        defer { unsafe pointers.forEach { unsafe free($0) } }
        // Sound: the list ends with nil, and its texts live until the call returns.
        _ = unsafe execv(program, pointers)
        return Errno(rawValue: errno)
    }
}
