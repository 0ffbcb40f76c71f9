// The file that a Unix socket leaves in the file system.

internal import CLinux
internal import Glibc
internal import Synchronization

/// The file of a Unix socket of ours, and the duty to remove it. Its listener does that when it
/// closes; who is in a hurry may do it before.
public final class SocketFile: Sendable {
    private let path: String
    private let identity: FileIdentity
    private let isRemoved = Atomic<Bool>(false)

    /// The file at a path; nil when there is none.
    init?(path: String) {
        guard let identity = FileIdentity(path: path) else { return nil }
        self.path = path
        self.identity = identity
    }

    /// Removes it, once, and only if it is still ours: somebody may have put another there. unlink(2)
    public func remove() {
        // Once: when it is gone, another file may get its number.
        guard !isRemoved.exchange(true, ordering: .acquiringAndReleasing),
            FileIdentity(path: path) == identity
        else { return }
        unsafe unlink(path)
    }
}

/// Which file a path led to at some moment.
struct FileIdentity: Equatable {
    let device: dev_t
    let number: ino_t
    let isSocket: Bool

    /// Nil when there is nothing at the path. lstat(2)
    init?(path: String) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    init(_ status: stat) {
        device = status.st_dev
        number = status.st_ino
        isSocket = status.st_mode & S_IFMT == S_IFSOCK
    }
}
