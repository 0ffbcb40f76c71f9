package import Logging
package import NBDServer
package import Observability
package import ProgramSupport

/// The operations on the contents of a running server's disks: snapshots, clones, checkpoints and saves, and their
/// commands.
package final class ServedContents: Sendable {
    /// The disks that have images.
    package let saved: [SavedDisk]
    /// The commands of the control socket.
    package let commands: any ControlCommands
    private let snapshots: SnapshotCatalog
    private let checkpoints: CheckpointCatalog

    /// - Parameter locksMemory: whether the process locks the memory that it maps from now on.
    package init(
        of server: Server, saved: [SavedDisk], locksMemory: Bool = false, logger: Logger
    ) {
        self.saved = saved
        snapshots = SnapshotCatalog(server: server, logger: logger)
        checkpoints = CheckpointCatalog(server: server, logger: logger)
        let clones = CloneCatalog(
            server: server, snapshots: snapshots, checkpoints: checkpoints,
            locksMemory: locksMemory,
            logger: logger)
        commands = ContentCommands(
            [
                SnapshotCommands(catalog: snapshots), CloneCommands(catalog: clones),
                CheckpointCommands(catalog: checkpoints),
                SaveCommands(server: server, saved: saved),
            ], saved: saved)
    }

    /// The state of the saves.
    package var saves: [SaveStats] { saved.map(\.stats) }

    /// The snapshots, oldest first, then those of open and lost checkpoints.
    package var allSnapshots: [SnapshotStatus] { snapshots.all + checkpoints.openSnapshots }

    /// Starts to save the disks that have an interval.
    package func begin() throws(Failure) {
        for disk in saved { try disk.begin() }
    }

    /// Saves the disks that have images, as the server stops. Tries each, and throws the first error.
    package func save() throws(Failure) {
        var failure: Failure?
        for disk in saved {
            do throws(Failure) {
                try disk.saveAtEnd()
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    /// Ends saving at intervals. Returns when no save is running.
    package func stop() {
        for disk in saved { disk.stopIntervals() }
        snapshots.stop()
        checkpoints.stop()
    }
}
