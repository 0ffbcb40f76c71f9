internal import ProgramSupport
internal import ArgumentParser
internal import Glibc
internal import LinuxIO

/// A path of a file or directory. It is made absolute as soon as it is parsed: the program goes to other
/// directories later, its processes start others, and its records are read from anywhere.
struct PathArgument: ExpressibleByArgument, Equatable {
    /// Begins with a slash.
    let path: String

    init?(argument: String) {
        guard !argument.isEmpty, !argument.utf8.contains(0) else { return nil }
        path = fromRoot(argument)
    }

    var defaultValueDescription: String { path }
}

/// A path of a Unix socket, from the root on, of a length that the kernel takes.
struct UnixPath: Equatable {
    /// Begins with a slash.
    let path: String

    /// Throws when a socket cannot be there, and says why.
    init(parsing argument: String) throws {
        guard !argument.isEmpty, !argument.utf8.contains(0) else {
            throw ValidationError("An empty path is no path of a socket.")
        }
        path = fromRoot(argument)
        guard SocketAddress.unix(path: path) == nil else { return }
        throw ValidationError(
            "A socket's path can have up to \(SocketAddress.longestPath) bytes, and \(path) has "
                + "\(path.utf8.count): choose a shorter one.")
    }
}
