// What has to go though the server is not given the time to take itself down.

internal import LinuxIO
internal import Synchronization

/// The files that a starting or running server has made.
final class Leftovers: Sendable {
    private let removals = Mutex<[@Sendable () -> Void]>([])

    /// The files of these sockets are to go.
    func note(_ listeners: [Listener]) {
        let files = listeners.compactMap(\.file)
        removals.withLock { removals in removals += files.map { file in { file.remove() } } }
    }

    /// This file is to go.
    func note(_ pidFile: PidFile) {
        removals.withLock { $0.append { pidFile.remove() } }
    }

    /// Removes those that are still there.
    func remove() {
        let removals = removals.withLock { removals in
            defer { removals = [] }
            return removals
        }
        for remove in removals { remove() }
    }
}
