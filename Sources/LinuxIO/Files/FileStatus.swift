internal import CLinux
internal import Glibc
package import SystemPackage

/// The status of a file at some moment. Two values are equal when nothing has written to the file or changed its
/// attributes in between, as far as the file system's clock can tell. stat(2)
package struct FileStatus: Sendable, Equatable {
    /// The kind of the file.
    package enum Kind: Sendable, Equatable {
        case regular
        case directory
        case symbolicLink
        case device
        /// A pipe or a socket.
        case other
    }

    package let kind: Kind
    /// The size in bytes. `st_size`
    package let size: UInt64
    /// The lowest nine bits of the mode. `st_mode`
    package let permissions: UInt32
    package let uid: UInt32
    package let gid: UInt32
    private let device: UInt64
    private let inode: UInt64
    /// Seconds and nanoseconds since 1970 of the last write, and of the last change of anything.
    private let changes: [Int]

    init(_ status: stat) {
        kind =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .regular
            case S_IFDIR: .directory
            case S_IFLNK: .symbolicLink
            case S_IFBLK, S_IFCHR: .device
            default: .other
            }
        size = UInt64(max(0, status.st_size))
        permissions = status.st_mode & 0o777
        uid = status.st_uid
        gid = status.st_gid
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        changes = [
            status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec,
            status.st_ctim.tv_nsec,
        ]
    }

    /// Whether this is the same file with the same size, and nothing has been written to it in between, as far as the
    /// file system's clock can tell.
    package func hasContents(of other: FileStatus) -> Bool {
        device == other.device && inode == other.inode && size == other.size
            && changes.prefix(2) == other.changes.prefix(2)
    }

    /// Returns what is at a path; nil when there is nothing. fstatat(2)
    package static func of(
        _ path: String, followingLinks: Bool = false
    ) throws(Errno) -> FileStatus? {
        var status = stat()
        let flags = followingLinks ? 0 : AT_SYMLINK_NOFOLLOW
        let result = unsafe fstatat(AT_FDCWD, path, &status, flags)
        if result == 0 { return FileStatus(status) }
        if errno == ENOENT { return nil }
        throw Errno(rawValue: errno)
    }
}
