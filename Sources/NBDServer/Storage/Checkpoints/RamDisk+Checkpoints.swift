/// Checkpoints that survive a killed server, in the disk's backing. A disk has one chain of them: each is made after
/// the one before was committed or aborted.
extension RamDisk {
    /// Whether the checkpoints of the disk survive its server: it has a backing, and no earlier version has made it.
    package var checkpointsSurvive: Bool { memory.backing?.checkpoints != nil }

    /// The names in the backing; empty for a disk whose checkpoints do not survive.
    package var checkpointNames: CheckpointNames {
        memory.backing?.checkpoints?.names ?? CheckpointNames()
    }

    /// The moment of the committed checkpoint that was in the backing when this object opened it; nil when there
    /// was none. For every page that has changed since it has a change, and for few others.
    package func foundMarker() -> DiskSnapshot.Marker? {
        versionMemory.foundEpoch.map { DiskSnapshot.Marker(of: self, epoch: $0) }
    }

    /// Takes a snapshot that may be committed later: with it begins a bitmap in the backing, if the disk has one.
    package func makeCheckpoint() throws(SnapshotError) -> DiskSnapshot {
        try DiskSnapshot(of: self, isCheckpoint: true)
    }

    /// Stores the names of the checkpoints in the backing, if the disk has one that can hold them.
    ///
    /// - Parameter snapshot: the checkpoint that is the committed one from now on; nil when that has not changed.
    package func store(_ names: CheckpointNames, committing snapshot: DiskSnapshot? = nil) {
        versionMemory.store(names, committing: snapshot?.epoch)
    }
}
