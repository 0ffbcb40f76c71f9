internal import ProgramSupport
internal import LinuxIO
internal import NBDServer
internal import Synchronization

/// The files that a starting or running server has created, and memory that would outlive it.
package final class CleanupStack: Sendable {
    private let removals = Mutex<[@Sendable () -> Void]>([])

    package init() {}

    /// Adds what removes something.
    func note(_ removal: @escaping @Sendable () -> Void) {
        removals.withLock { $0.append(removal) }
    }

    /// Adds the files of these sockets.
    func note(_ listeners: [Listener]) {
        for file in listeners.compactMap(\.file) { note { file.remove() } }
    }

    /// Adds this pid file.
    func note(_ pidFile: PidFile) { note { pidFile.remove() } }

    /// Adds the memory of this disk, which has an effect if it has a backing.
    func note(_ disk: RamDisk) { note { disk.remove() } }

    /// Adds this directory.
    func note(_ directory: PrivateDirectory) { note { directory.remove() } }

    /// Removes everything that was added, the last first, and once.
    package func remove() {
        let removals = removals.withLock { removals in
            defer { removals = [] }
            return removals
        }
        for remove in removals.reversed() { remove() }
    }
}
