package import LinuxHost
package import ProgramSupport
internal import SystemPackage

/// Programs of the system that administrators use.
package enum SystemProgram {
    /// Runs a program to its end.
    ///
    /// - Parameter package: the Debian package that has it.
    package static func run(
        _ program: String, _ arguments: [String], package: String
    ) throws(Failure) -> ChildProcess.Result {
        // Debian installs these programs in directories that are not in every user's `PATH`.
        for place in ["", "/usr/sbin/", "/sbin/"] {
            do throws(Errno) {
                return try ChildProcess.run(place + program, arguments)
            } catch {
                if error != .noSuchFileOrDirectory {
                    throw .system("cannot run \(program): \(error)")
                }
            }
        }
        throw .unavailable("\(program) is not installed: install the Debian package \(package)")
    }
}

extension ChildProcess.Result {
    /// The first line of the output, which says why the program failed; usage and hints follow it. How the
    /// program ended, if there is no output.
    package var reason: String {
        output.split(separator: "\n").first.map(String.init) ?? "\(ending)"
    }
}
