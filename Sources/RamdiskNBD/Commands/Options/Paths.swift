internal import ProgramSupport
internal import ArgumentParser
internal import Glibc
internal import LinuxIO

/// A path of a file or directory. It is absolute from the moment of parsing: the program changes its directory
/// later and starts processes in others, and commands in any directory read its records.
struct PathArgument: ExpressibleByArgument, Equatable {
    /// Begins with a slash.
    let path: String

    init?(argument: String) {
        guard !argument.isEmpty, !argument.utf8.contains(0) else { return nil }
        path = fromRoot(argument)
    }

    var defaultValueDescription: String { path }
}

/// An absolute path of a Unix socket, of a length that the kernel accepts.
struct UnixPath: Equatable {
    /// Begins with a slash.
    let path: String

    /// Throws a sentence that says why no socket can have this path.
    init(parsing argument: String) throws {
        guard !argument.isEmpty, !argument.utf8.contains(0) else {
            throw ValidationError("The path of a socket cannot be empty.")
        }
        path = fromRoot(argument)
        guard SocketAddress.unix(path: path) == nil else { return }
        throw ValidationError(
            "The path of a socket can have up to \(SocketAddress.longestPath) bytes, and \(path) has "
                + "\(path.utf8.count): choose a shorter one.")
    }
}
