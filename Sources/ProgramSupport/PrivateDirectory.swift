internal import Glibc
internal import SystemPackage

/// A new directory for one socket, which only this user can access. It is removed with this value.
package final class PrivateDirectory: Sendable {
    private let path: String

    /// Creates it in `TMPDIR`, or in /tmp if the path of a socket would be too long there. mkdtemp(3), mode 0700
    package init() throws(Failure) {
        let folder = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        // With this limit, the suffix of mkdtemp and the name of the socket fit into the 107 bytes of a socket's path.
        let isShort = !folder.isEmpty && folder.utf8.count <= 70
        var template = Array("\(isShort ? folder : "/tmp")/ramdisk-nbd-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else {
            throw .cannotCreate(
                "cannot create a directory in \(isShort ? folder : "/tmp"): \(Errno(rawValue: errno)); "
                    + "set TMPDIR to a writable directory")
        }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The path for the socket.
    package var socketPath: String { "\(path)/nbd.sock" }

    /// Removes the socket and the directory. rmdir(2)
    package func remove() {
        unsafe unlink(socketPath)
        unsafe rmdir(path)
    }

    deinit { remove() }
}
