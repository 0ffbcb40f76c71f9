internal import Glibc
internal import LinuxIO

/// Returns an absolute path. It keeps symbolic links, and the file need not exist. getcwd(3)
package func fromRoot(_ path: String, directory: String? = nil) -> String {
    guard !path.hasPrefix("/") else { return path }
    var rest = path[...]
    while rest.hasPrefix("./") { rest = rest.dropFirst(2).drop { $0 == "/" } }
    let directory = directory ?? currentDirectory()
    let root = directory == "/" ? "" : directory
    return rest.isEmpty || rest == "." ? directory : "\(root)/\(rest)"
}

/// Returns the current directory; empty if it has been removed. getcwd(3)
private func currentDirectory() -> String {
    guard let path = unsafe getcwd(nil, 0) else { return "" }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
}

/// Returns an absolute path as it is in the kernel's mount table: with symbolic links resolved where it exists, and
/// without slashes at its end. realpath(3)
package func absolutePath(_ path: String) -> String {
    if let real = unsafe realpath(path, nil) {
        defer { unsafe free(real) }
        return unsafe String(cString: real)
    }
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    // At most the last part may be missing: otherwise creating it will fail.
    guard let name = parts.last, !name.isEmpty else { return path }
    let parent = parts.dropLast().joined(separator: "/")
    let existing = parts.count == 1 ? "." : parent.isEmpty ? "/" : parent
    guard let real = unsafe realpath(existing, nil) else { return path }
    defer { unsafe free(real) }
    let root = unsafe String(cString: real)
    return root == "/" ? "/\(name)" : "\(root)/\(name)"
}

/// A path of a file or directory. It is absolute from the moment of parsing: the program changes its directory
/// later and starts processes in others, and commands in any directory read its records.
package struct AbsolutePath: Sendable, Equatable {
    /// Begins with a slash.
    package let path: String

    package init?(parsing argument: String) {
        guard !argument.isEmpty, !argument.utf8.contains(0) else { return nil }
        path = fromRoot(argument)
    }
}

/// An absolute path of a Unix socket, of a length that the kernel accepts.
package struct UnixPath: Sendable, Equatable {
    /// Begins with a slash.
    package let path: String

    /// Throws a sentence that says why no socket can have this path.
    package init(parsing argument: String) throws(ValueError) {
        guard !argument.isEmpty, !argument.utf8.contains(0) else {
            throw ValueError("The path of a socket cannot be empty.")
        }
        path = fromRoot(argument)
        guard SocketAddress.unix(path: path) == nil else { return }
        throw ValueError(
            "The path of a socket can have up to \(SocketAddress.longestPath) bytes, and \(path) has "
                + "\(path.utf8.count): choose a shorter one.")
    }
}
