internal import LinuxIO
internal import Synchronization

/// A type that holds snapshots, which can be lost.
protocol SnapshotKeeper: AnyObject, Sendable {
    /// Whether it keeps a snapshot that is not lost.
    var hasSnapshots: Bool { get }
    /// Releases the memory of lost snapshots, and logs that they are lost.
    func dropLost()
}

/// The thread that looks for lost snapshots, which runs only while there are any.
final class LossWatch: Sendable {
    private let isWatching = Mutex<Bool>(false)
    private let isOver = Atomic<Bool>(false)

    /// The interval between checks of the snapshots, in milliseconds.
    private static let interval = 500

    /// Starts the thread for a keeper with a new snapshot, unless it runs.
    func start(for keeper: some SnapshotKeeper) {
        isWatching.withLock { isWatching in
            guard !isWatching else { return }
            let thread = try? Thread(name: "snapshots") { [weak self, weak keeper] in
                while self?.look(keeper) == true { Thread.sleep(milliseconds: Self.interval) }
            }
            thread?.detach()
            isWatching = thread != nil
        }
    }

    /// Returns whether there is something left to watch.
    private func look(_ keeper: (some SnapshotKeeper)?) -> Bool {
        guard let keeper else { return false }
        keeper.dropLost()
        return isWatching.withLock { isWatching in
            isWatching = !isOver.load(ordering: .acquiring) && keeper.hasSnapshots
            return isWatching
        }
    }

    /// Ends the thread.
    func stop() { isOver.store(true, ordering: .releasing) }
}
