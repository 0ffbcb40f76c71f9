// A file with the process's number, for scripts.

internal import Glibc
internal import SystemPackage

/// A pid file that this process has written.
struct PidFile: Sendable {
    private let path: String

    /// Writes it: the number and a line's end.
    init(path: String) throws(Failure) {
        self.path = path
        do {
            let file = try FileDescriptor.open(
                FilePath(path), .writeOnly, options: [.create, .truncate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
            try file.closeAfter { _ = try file.writeAll("\(getpid())\n".utf8) }
        } catch {
            throw .cannotCreate("cannot write the pid file \(path): \(error)")
        }
    }

    /// Removes it.
    func remove() {
        unsafe unlink(path)
    }
}
