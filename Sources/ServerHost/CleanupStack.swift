package import ProgramSupport
package import LinuxIO
package import NBDServer
internal import Synchronization

/// The files that a starting or running server has made, and memory that would outlive it.
package final class CleanupStack: Sendable {
    private let removals = Mutex<[@Sendable () -> Void]>([])

    /// The files of these sockets are to go.
    package func note(_ listeners: [Listener]) {
        let files = listeners.compactMap(\.file)
        removals.withLock { removals in removals += files.map { file in { file.remove() } } }
    }

    /// This file is to go.
    package func note(_ pidFile: PidFile) {
        removals.withLock { $0.append { pidFile.remove() } }
    }

    /// The memory of this disk is to go, if it would outlive the process.
    package func note(_ disk: RamDisk) {
        removals.withLock { $0.append { disk.remove() } }
    }

    /// This directory is to go, after what was noted before it.
    package func note(_ directory: PrivateDirectory) {
        removals.withLock { $0.append { directory.remove() } }
    }

    /// Removes those that are still there.
    package func remove() {
        let removals = removals.withLock { removals in
            defer { removals = [] }
            return removals
        }
        for remove in removals { remove() }
    }
}
