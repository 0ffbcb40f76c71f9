internal import ProgramSupport
internal import Glibc
internal import SystemPackage

/// A pid file that this process has written. It is removed with this value.
final class PidFile: Sendable {
    private let path: FilePath
    private let line = "\(getpid())\n"

    /// Writes the pid and a newline. The file appears with its whole content, and replaces an older one. It never
    /// replaces anything but a regular file and follows no symbolic link, as another user may have planted one.
    init(path: String) throws(Failure) {
        self.path = FilePath(path)
        let draft = FilePath(path + ".\(getpid()).new")
        do {
            guard Self.isFree(path) else {
                throw Failure.cannotCreate(
                    "cannot write the pid file \(path): it is not a regular file; remove it, or choose "
                        + "another path with --pid-file")
            }
            // A killed process with the same pid may have left one.
            Self.unlink(draft)
            let file = try FileDescriptor.open(
                draft, .writeOnly,
                options: [.create, .exclusiveCreate, .noFollow, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
            try file.closeAfter { _ = try file.writeAll(line.utf8) }
            try Self.rename(draft, to: self.path)
        } catch let failure as Failure {
            throw failure
        } catch {
            Self.unlink(draft)
            throw .cannotCreate("cannot write the pid file \(path): \(error)")
        }
    }

    /// Returns whether there is nothing at a path, or a regular file. lstat(2)
    private static func isFree(_ path: String) -> Bool {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return true }
        return status.st_mode & S_IFMT == S_IFREG
    }

    private static func unlink(_ path: FilePath) {
        unsafe path.withPlatformString { _ = unsafe Glibc.unlink($0) }
    }

    private static func rename(_ path: FilePath, to other: FilePath) throws(Errno) {
        let result = unsafe path.withPlatformString { old in
            unsafe other.withPlatformString { new in unsafe Glibc.rename(old, new) }
        }
        guard result == 0 else { throw Errno(rawValue: errno) }
    }

    /// Removes the file, unless another process has written its own pid.
    func remove() {
        guard isOurs else { return }
        Self.unlink(path)
    }

    private var isOurs: Bool {
        var bytes = [UInt8](repeating: 0, count: 32)
        guard
            let file = try? FileDescriptor.open(
                path, .readOnly, options: [.closeOnExec, .noFollow, .nonBlocking]),
            let count = try? file.closeAfter({
                try unsafe bytes.withUnsafeMutableBytes { buffer in
                    try unsafe file.read(into: buffer)
                }
            })
        else { return false }
        return bytes.prefix(count).elementsEqual(line.utf8)
    }

    deinit { remove() }
}
