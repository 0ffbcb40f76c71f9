internal import Glibc

/// A path from the root on. Links in it stay as they are; the file need not exist. getcwd(3)
package func fromRoot(_ path: String, directory: String? = nil) -> String {
    guard !path.hasPrefix("/") else { return path }
    var rest = path[...]
    while rest.hasPrefix("./") { rest = rest.dropFirst(2).drop { $0 == "/" } }
    let directory = directory ?? currentDirectory()
    let root = directory == "/" ? "" : directory
    return rest.isEmpty || rest == "." ? directory : "\(root)/\(rest)"
}

/// Where the process runs; empty when that directory is gone. getcwd(3)
private func currentDirectory() -> String {
    guard let path = unsafe getcwd(nil, 0) else { return "" }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
}

/// A path from the root on, as the kernel's table of mounts has it: without links, where it exists;
/// without slashes at its end. realpath(3)
package func absolutePath(_ path: String) -> String {
    if let real = unsafe realpath(path, nil) {
        defer { unsafe free(real) }
        return unsafe String(cString: real)
    }
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    // What is missing is its last part, or making it will fail.
    guard let name = parts.last, !name.isEmpty else { return path }
    let parent = parts.dropLast().joined(separator: "/")
    let place = parts.count == 1 ? "." : parent.isEmpty ? "/" : parent
    guard let real = unsafe realpath(place, nil) else { return path }
    defer { unsafe free(real) }
    let root = unsafe String(cString: real)
    return root == "/" ? "/\(name)" : "\(root)/\(name)"
}
