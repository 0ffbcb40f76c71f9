internal import FoundationEssentials
package import Logging
internal import NBDProtocol
package import NBDServer
package import Observability
internal import Synchronization

/// The checkpoints of a running server's disks. The open one of each disk is a read-only export,
/// `DISK@CHECKPOINT`, with a dirty bitmap.
///
/// A committed checkpoint is a marker: it takes no memory for pages. The bitmap of an open one marks the pages whose
/// births lie between that marker and the snapshot. So aborting "merges" the bitmap by keeping the older marker.
package final class CheckpointCatalog: SnapshotKeeper {
    private let server: Server
    private let logger: Logger
    private let chains = Mutex<[CheckpointChain]>([])
    private let watch = LossWatch()

    /// Begins with the checkpoints that earlier servers have left in backings.
    package init(server: Server, logger: Logger) {
        self.server = server
        self.logger = logger
        let found = server.exports.compactMap { export in
            export.ramDisk.map { CheckpointChain(export: export.name, disk: $0) }
        }.filter { $0.committed != nil }
        for chain in found {
            let name = SnapshotCatalog.export(disk: chain.export, chain.committed?.name ?? "")
            logger.info("found a committed checkpoint", metadata: ["checkpoint": "\(name)"])
        }
        chains.withLock { $0 = found }
    }

    // MARK: - Commands

    /// Takes a snapshot of a disk, and serves it with a bitmap of the changes since the last committed checkpoint.
    /// Returns the open checkpoint if it already has that name.
    ///
    /// - Parameter isFull: whether the bitmap is all dirty even if there is a committed checkpoint.
    package func create(
        disk: String?, name: String, isFull: Bool
    ) throws(ControlError) -> CheckpointStatus {
        try ContentName.check(name, of: "checkpoint")
        let (made, isNew) = try with(disk) { (chain) throws(ControlError) in
            if let open = try chain.existing(named: name, isFull: isFull) {
                return (status(of: open, chain), false)
            }
            let open = try freeze(name, isFull: isFull, chain)
            chain.add(open)
            return (status(of: open, chain), true)
        }
        if isNew {
            watch.start(for: self)
            logger.info(
                "made a checkpoint",
                metadata: ["export": "\(made.export ?? "")", "base": "\(made.base ?? "none")"])
        }
        return made
    }

    private func freeze(
        _ name: String, isFull: Bool, _ chain: CheckpointChain
    ) throws(ControlError) -> CheckpointChain.Open {
        let snapshot: DiskSnapshot
        do throws(SnapshotError) {
            snapshot = try chain.disk.makeCheckpoint()
        } catch {
            throw ControlError(.conflict, "cannot freeze the disk: \(error)")
        }
        let open = CheckpointChain.Open(
            name: name, created: Date().timeIntervalSince1970, snapshot: snapshot,
            base: isFull ? nil : chain.committed,
            export: SnapshotCatalog.export(disk: chain.export, name))
        do throws(ServerError) {
            let store = CheckpointStore(
                snapshot: snapshot, base: open.base?.marker, bitmap: .dirtyBitmap(name))
            try server.add(
                Export(
                    name: open.export, description: "checkpoint", store: store, isReadOnly: true))
        } catch {
            throw ControlError(.conflict, "\(error)")
        }
        return open
    }

    /// Commits an open checkpoint: the bitmap of the next one marks changes since it. Its clients can read it until
    /// they disconnect.
    package func commit(disk: String?, name: String) throws(ControlError) {
        try end(disk, "committed a checkpoint") { (chain) throws(ControlError) in
            try chain.commit(name)
        }
    }

    /// Drops an open checkpoint: the bitmap of the next one marks its changes too. Its clients can read it until they
    /// disconnect.
    package func abort(disk: String?, name: String) throws(ControlError) {
        try end(disk, "aborted a checkpoint") { (chain) throws(ControlError) in
            try chain.abort(name)
        }
    }

    private func end(
        _ disk: String?, _ message: Logger.Message,
        _ body: (inout CheckpointChain) throws(ControlError) -> CheckpointChain.Open?
    ) throws(ControlError) {
        // Release the snapshot outside of the lock, since that may take long.
        let ended = try with(disk) { (chain) throws(ControlError) in
            let ended = try body(&chain)
            removeExport(of: ended)
            return ended
        }
        if let ended { logger.info(message, metadata: ["export": "\(ended.export)"]) }
    }

    /// Removes the export of a checkpoint. A lost one has none, and another export may have its name.
    private func removeExport(of open: CheckpointChain.Open?) {
        if let open, open.snapshot != nil { server.removeExport(named: open.export) }
    }

    // MARK: - Finding

    /// Calls `body` with the checkpoints of a disk.
    private func with<Result>(
        _ disk: String?, _ body: (inout CheckpointChain) throws(ControlError) -> Result
    ) throws(ControlError) -> Result {
        let (export, ramDisk) = try server.disk(disk)
        dropDeleted()
        return try chains.withLock { (chains) throws(ControlError) in
            let index =
                chains.firstIndex { $0.disk === ramDisk && $0.export == export }
                ?? {
                    chains.append(CheckpointChain(export: export, disk: ramDisk))
                    return chains.count - 1
                }()
            return try body(&chains[index])
        }
    }

    /// Drops the checkpoints of disks that are not served any more, which frees those disks. Call this when an export
    /// of a disk is removed.
    package func dropDeleted() {
        let dropped = chains.withLock { chains in
            let exports = server.exports
            let dropped = chains.filter { chain in
                !exports.contains { $0.name == chain.export && $0.ramDisk === chain.disk }
            }
            for chain in dropped {
                removeExport(of: chain.open)
                chains.removeAll { $0.disk === chain.disk && $0.export == chain.export }
            }
            return dropped
        }
        // Release their snapshots outside of the lock.
        withExtendedLifetime(dropped) {}
    }

    /// The checkpoints, those of each disk oldest first.
    package var all: [CheckpointStatus] {
        dropDeleted()
        return chains.withLock { $0 }.flatMap { chain in
            let committed = chain.committed.map { status(of: $0, chain) }
            let open = chain.open.map { status(of: $0, chain) }
            return [committed, open].compactMap(\.self)
        }
    }

    /// The open and the lost checkpoints as snapshots: they take memory, and can be lost.
    var openSnapshots: [SnapshotStatus] {
        let statistics = server.statistics()
        return chains.withLock { $0 }.compactMap { chain in
            chain.open.map { open in
                SnapshotStatus(
                    disk: chain.export, name: open.name, export: open.export,
                    createdUnixSeconds: open.created, sizeBytes: chain.disk.size,
                    isLost: open.isLost,
                    openConnections: open.isLost ? 0 : statistics.openConnections(to: open.export),
                    preservedBytes: chain.disk.preservedBytes)
            }
        }
    }

    private func status(
        of checkpoint: CheckpointChain.Committed, _ chain: CheckpointChain
    ) -> CheckpointStatus {
        CheckpointStatus(
            disk: chain.export, name: checkpoint.name, state: .committed, base: nil, export: nil,
            bitmap: nil, createdUnixSeconds: checkpoint.created, sizeBytes: chain.disk.size,
            dirtyBytes: min(checkpoint.marker.changedBytes, chain.disk.size), openConnections: 0)
    }

    private func status(
        of checkpoint: CheckpointChain.Open, _ chain: CheckpointChain
    ) -> CheckpointStatus {
        let dirty = dirtyBytes(of: checkpoint, chain)
        // Count before testing for loss: the count of a checkpoint that is lost in between is wrong.
        let isLost = checkpoint.isLost
        return CheckpointStatus(
            disk: chain.export, name: checkpoint.name, state: isLost ? .lost : .open,
            base: checkpoint.base?.name, export: isLost ? nil : checkpoint.export,
            bitmap: isLost ? nil : MetadataContext.dirtyBitmap(checkpoint.name).name,
            createdUnixSeconds: checkpoint.created, sizeBytes: chain.disk.size,
            dirtyBytes: isLost ? nil : dirty,
            openConnections: isLost
                ? 0 : server.statistics().openConnections(to: checkpoint.export))
    }

    private func dirtyBytes(
        of checkpoint: CheckpointChain.Open, _ chain: CheckpointChain
    ) -> UInt64 {
        guard let snapshot = checkpoint.snapshot, let base = checkpoint.base else {
            return chain.disk.size
        }
        var count: UInt64 = 0
        var offset: UInt64 = 0
        while let change = snapshot.nextChange(since: base.marker, from: offset) {
            count += change.upperBound - change.lowerBound
            offset = change.upperBound
        }
        return count
    }

    // MARK: - Lost checkpoints

    var hasSnapshots: Bool { chains.withLock { $0.contains { $0.open?.snapshot != nil } } }

    func dropLost() {
        let lost = chains.withLock { chains in
            var lost: [CheckpointChain.Open] = []
            for index in chains.indices {
                guard let open = chains[index].open, chains[index].dropLost() else { continue }
                removeExport(of: open)
                lost.append(open)
            }
            return lost
        }
        for checkpoint in lost {
            logger.error(
                "a checkpoint is lost, since the memory for preserved pages was used up: abort it, and allow more with --snapshot-memory",
                metadata: ["export": "\(checkpoint.export)"])
        }
    }

    /// Ends the thread that looks for lost checkpoints.
    package func stop() { watch.stop() }
}
