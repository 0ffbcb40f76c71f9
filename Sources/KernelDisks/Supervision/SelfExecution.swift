internal import Glibc

package enum SelfExecution {
    /// The role of a process that another process of this program has started.
    package enum Role: String, Sendable {
        case daemon, worker
    }

    /// The path of this program's file. By the time that it is started again, the file may be a newer
    /// version.
    package static var path: String {
        guard let path = unsafe realpath("/proc/self/exe", nil) else { return "/proc/self/exe" }
        defer { unsafe free(path) }
        return unsafe String(cString: path)
    }

    /// Returns the arguments of this process, for a process in another role.
    package static func arguments(role: Role) -> [String] {
        var arguments = Array(CommandLine.arguments.dropFirst())
        // The arguments of a daemon, which starts a worker, contain a role already.
        while let index = arguments.firstIndex(of: "--role") {
            arguments.removeSubrange(index...min(index + 1, arguments.count - 1))
        }
        // Behind the command's name, so that it cannot be parsed as the value of another option.
        let place = arguments.firstIndex(of: "up").map { $0 + 1 } ?? 0
        arguments.insert(contentsOf: ["--role", role.rawValue], at: place)
        return arguments
    }
}
