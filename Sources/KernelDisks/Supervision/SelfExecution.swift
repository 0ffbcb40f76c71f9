// This program, started once more for another part of the work.

internal import Glibc

package enum SelfExecution {
    /// The part of the work that a process of this program does which was started by another.
    package enum Role: String, Sendable {
        case daemon, worker
    }

    /// Its file; what is there may be a newer version by the time that it is started again.
    package static var path: String {
        guard let path = unsafe realpath("/proc/self/exe", nil) else { return "/proc/self/exe" }
        defer { unsafe free(path) }
        return unsafe String(cString: path)
    }

    /// The arguments that this process has got, for a process that does another part.
    package static func arguments(role: Role) -> [String] {
        var arguments = Array(CommandLine.arguments.dropFirst())
        // A worker of a daemon: the last one counts.
        while let index = arguments.firstIndex(of: "--role") {
            arguments.removeSubrange(index...min(index + 1, arguments.count - 1))
        }
        // Behind the command's name, so that no argument can be taken for its value.
        let place = arguments.firstIndex(of: "up").map { $0 + 1 } ?? 0
        arguments.insert(contentsOf: ["--role", role.rawValue], at: place)
        return arguments
    }
}
