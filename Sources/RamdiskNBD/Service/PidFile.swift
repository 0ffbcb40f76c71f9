// A file with the process's number, for scripts.

internal import Glibc
internal import SystemPackage

/// A pid file that this process has written. It goes away with this value.
final class PidFile: Sendable {
    private let path: FilePath
    private let line = "\(getpid())\n"

    /// Writes it: the number and a line's end.
    init(path: String) throws(Failure) {
        self.path = FilePath(path)
        do {
            let file = try FileDescriptor.open(
                self.path, .writeOnly, options: [.create, .truncate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
            try file.closeAfter { _ = try file.writeAll(line.utf8) }
        } catch {
            throw .cannotCreate("cannot write the pid file \(path): \(error)")
        }
    }

    /// Removes it, unless another process has written its own number there.
    func remove() {
        guard isOurs else { return }
        unsafe path.withPlatformString { _ = unsafe unlink($0) }
    }

    private var isOurs: Bool {
        var bytes = [UInt8](repeating: 0, count: 32)
        guard let file = try? FileDescriptor.open(path, .readOnly, options: .closeOnExec),
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
