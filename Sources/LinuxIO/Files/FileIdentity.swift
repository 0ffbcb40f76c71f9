internal import CLinux
internal import Glibc

/// The identity of the file to which a path or a descriptor led at some moment.
package struct FileIdentity: Equatable {
    private let device: dev_t
    private let inode: ino_t
    /// Whether the file is a socket.
    package let isSocket: Bool

    /// The file at a path, which may be a symbolic link. Nil when there is none. lstat(2)
    package init?(path: String) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// The file behind an open descriptor. Nil when the descriptor is closed. fstat(2)
    package init?(descriptor: CInt) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    private init(_ status: stat) {
        device = status.st_dev
        inode = status.st_ino
        isSocket = status.st_mode & S_IFMT == S_IFSOCK
    }
}
