internal import NBDServer
internal import Observability

/// The checkpoints of one disk: the last committed one, and the open one.
///
/// | | create NAME | commit NAME | abort NAME |
/// | --- | --- | --- | --- |
/// | NAME is open | returns it again | becomes the committed one | is dropped |
/// | NAME is lost | refused | refused | is dropped |
/// | NAME is the committed one | refused | done already | refused |
/// | NAME was aborted last | makes it | refused | done already |
/// | another one is open or lost | refused | refused | refused |
/// | else | makes it | refused | refused |
///
/// So a backup program may repeat a command whose response it has not seen. In a backing, the committed checkpoint
/// survives its server. The open one does not: to the next server it was aborted last.
struct CheckpointChain: Sendable {
    /// The disk's export.
    let export: String
    /// The disk. A later export of the same name may serve another disk.
    let disk: RamDisk
    private(set) var committed: Committed?
    private(set) var open: Open?
    private var lastAborted: String?

    /// The last committed checkpoint.
    struct Committed: Sendable {
        let name: String
        let created: Double
        let marker: DiskSnapshot.Marker
    }

    /// The open checkpoint, which clients can read.
    struct Open: Sendable {
        let name: String
        let created: Double
        /// The snapshot; nil when it is lost, so that it takes no more memory.
        fileprivate(set) var snapshot: DiskSnapshot?
        /// The committed one at the time when it was made; nil when its bitmap is all dirty.
        let base: Committed?
        /// The name of its export.
        let export: String

        var isLost: Bool { snapshot?.isLost ?? true }
    }

    /// The checkpoints that an earlier server has left in the disk's backing, if it has one.
    init(export: String, disk: RamDisk) {
        self.export = export
        self.disk = disk
        let names = disk.checkpointNames
        if let found = names.committed, let marker = disk.foundMarker() {
            committed = Committed(name: found.name, created: found.created, marker: marker)
        }
        lastAborted = names.aborted
    }

    /// The state that the next server finds. It is the same before and after an abort.
    private var names: CheckpointNames {
        CheckpointNames(
            committed: committed.map { .init(name: $0.name, created: $0.created) },
            aborted: open?.name ?? lastAborted)
    }

    /// Returns the open checkpoint if it has this name; nil if a new one may be made. Throws when neither is the case.
    func existing(named name: String, isFull: Bool) throws(ControlError) -> Open? {
        guard let open else {
            guard committed?.name != name else {
                throw ControlError(
                    .conflict,
                    "the checkpoint \(title(name)) was committed already; give the next one another name"
                )
            }
            return nil
        }
        guard open.name == name else {
            throw ControlError(
                .conflict,
                "the checkpoint \(title(open.name)) is \(open.isLost ? "lost" : "open"); "
                    + "\(open.isLost ? "abort it" : "commit or abort it") before you make another")
        }
        guard !open.isLost else { throw lost(open) }
        guard !isFull || open.base == nil else {
            throw ControlError(
                .conflict,
                "the checkpoint \(title(name)) is open, and not a full one; abort it first")
        }
        return open
    }

    /// Adds a new checkpoint.
    mutating func add(_ checkpoint: Open) {
        open = checkpoint
        lastAborted = nil
        disk.store(names)
    }

    /// Makes the open checkpoint the committed one, and returns it; nil if that was done already.
    mutating func commit(_ name: String) throws(ControlError) -> Open? {
        guard let open, open.name == name else {
            if committed?.name == name { return nil }
            throw lastAborted == name ? ended(name, "aborted", "committed") : missing(name)
        }
        guard let snapshot = open.snapshot, !open.isLost else { throw lost(open) }
        committed = Committed(name: name, created: open.created, marker: snapshot.makeMarker())
        self.open = nil
        lastAborted = nil
        disk.store(names, committing: snapshot)
        return open
    }

    /// Drops the open checkpoint, and returns it; nil if that was done already.
    mutating func abort(_ name: String) throws(ControlError) -> Open? {
        guard let open, open.name == name else {
            if lastAborted == name { return nil }
            throw committed?.name == name ? ended(name, "committed", "aborted") : missing(name)
        }
        self.open = nil
        lastAborted = name
        return open
    }

    /// Releases the memory of the open checkpoint if it is lost, and returns whether it did.
    mutating func dropLost() -> Bool {
        guard open?.snapshot?.isLost == true else { return false }
        open?.snapshot = nil
        return true
    }

    // MARK: - Errors

    private func title(_ name: String) -> String { "\(export)@\(name)" }

    private func lost(_ open: Open) -> ControlError {
        ControlError(
            .conflict,
            "the checkpoint \(title(open.name)) is lost, since the memory for preserved pages was used up: abort "
                + "it, allow more with --snapshot-memory, and make another; it will have all changes since "
                + (open.base.map { "\(title($0.name))" } ?? "the beginning"))
    }

    private func ended(_ name: String, _ how: String, _ not: String) -> ControlError {
        ControlError(
            .conflict, "the checkpoint \(title(name)) was \(how) already, so it cannot be \(not)")
    }

    private func missing(_ name: String) -> ControlError {
        let known = [open?.name, committed?.name].compactMap { $0.map(title) }
        return ControlError(
            .missing,
            "there is no checkpoint \(title(name)); "
                + (known.isEmpty
                    ? "the disk has none" : "the disk has \(known.joined(separator: " and "))"))
    }
}
