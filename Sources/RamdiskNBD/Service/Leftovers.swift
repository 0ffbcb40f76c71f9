// What has to go though the server is not given the time to take itself down.

internal import Glibc
internal import LinuxIO
internal import Synchronization

/// The files that a running server has made.
final class Leftovers: Sendable {
    private let socketFiles = Mutex<[SocketFile]>([])

    /// These are to go.
    func note(_ files: [SocketFile]) {
        socketFiles.withLock { $0 = files }
    }

    /// Removes those that are still there.
    func remove() {
        for file in socketFiles.withLock({ $0 }) { file.remove() }
    }
}
