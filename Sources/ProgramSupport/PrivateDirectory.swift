internal import Glibc
internal import SystemPackage

/// A fresh directory with one socket's path in it, which only this user can look into. It goes away with
/// this value.
package final class PrivateDirectory: Sendable {
    private let path: String

    /// Makes it in `TMPDIR`, or in /tmp if a socket's path would be too long there. mkdtemp(3), mode 0700
    package init() throws(Failure) {
        let folder = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        // What mkdtemp adds and the socket's name fit into the 107 bytes of a socket's path.
        let isShort = !folder.isEmpty && folder.utf8.count <= 70
        var template = Array("\(isShort ? folder : "/tmp")/ramdisk-nbd-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else {
            throw .cannotCreate(
                "cannot make a directory in \(isShort ? folder : "/tmp"): \(Errno(rawValue: errno)); "
                    + "set TMPDIR to one that can be written")
        }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Where a socket can be made.
    package var socketPath: String { "\(path)/nbd.sock" }

    /// Removes it. rmdir(2)
    package func remove() {
        unsafe unlink(socketPath)
        unsafe rmdir(path)
    }

    deinit { remove() }
}
