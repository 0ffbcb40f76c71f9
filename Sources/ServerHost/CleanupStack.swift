internal import ProgramSupport
internal import LinuxIO
internal import NBDServer
internal import Synchronization

/// The files that a starting or running server has created, and memory that would outlive it.
package final class CleanupStack: Sendable {
    private let removals = Mutex<[@Sendable () -> Void]>([])

    package init() {}

    /// Adds the files of these sockets.
    func note(_ listeners: [Listener]) {
        let files = listeners.compactMap(\.file)
        removals.withLock { removals in removals += files.map { file in { file.remove() } } }
    }

    /// Adds this pid file.
    func note(_ pidFile: PidFile) {
        removals.withLock { $0.append { pidFile.remove() } }
    }

    /// Adds the memory of this disk, which has an effect if it has a backing.
    func note(_ disk: RamDisk) {
        removals.withLock { $0.append { disk.remove() } }
    }

    /// Adds this directory.
    func note(_ directory: PrivateDirectory) {
        removals.withLock { $0.append { directory.remove() } }
    }

    /// Removes everything that was added, the last first, and once.
    package func remove() {
        let removals = removals.withLock { removals in
            defer { removals = [] }
            return removals
        }
        for remove in removals.reversed() { remove() }
    }
}
