internal import FoundationEssentials
internal import Logging
internal import NBDServer
internal import Observability
internal import Synchronization

/// The clones that commands have made on a running server. Each is a separate export.
///
/// A clone needs a template, which is a copy of the disk at one instant, since the disk continues to change. The clones
/// of one snapshot share one copy, and clones of `serve --template` share its template, of which there is no copy.
final class CloneCatalog: Sendable {
    private struct Entry {
        let name: String
        let source: String
        let created: Double
        let disk: RamDisk
    }

    /// The template of a snapshot's clones, as long as there are clones of it.
    private struct Copy {
        weak var snapshot: DiskSnapshot?
        weak var template: DiskTemplate?
    }

    private let server: Server
    private let snapshots: SnapshotCatalog
    private let checkpoints: CheckpointCatalog
    /// Whether memory that the process maps is allocated and locked as a whole.
    private let locksMemory: Bool
    private let logger: Logger
    private let entries = Mutex<[Entry]>([])
    /// Held by the thread that copies a snapshot, so that no second thread copies it too.
    private let copies = Mutex<[Copy]>([])

    init(
        server: Server, snapshots: SnapshotCatalog, checkpoints: CheckpointCatalog,
        locksMemory: Bool, logger: Logger
    ) {
        self.server = server
        self.snapshots = snapshots
        self.checkpoints = checkpoints
        self.locksMemory = locksMemory
        self.logger = logger
    }

    // MARK: - Commands

    /// Makes a clone, and serves it.
    ///
    /// - Parameters:
    ///   - name: the name of its export.
    ///   - disk: the export of the disk to clone; nil for the first.
    ///   - snapshot: the name of one of its snapshots; nil for its present contents.
    func create(
        name: String, disk: String?, snapshot: String?
    ) throws(ControlError) -> CloneStatus {
        guard !locksMemory else {
            throw ControlError(
                .conflict,
                "this server locks its memory, so a clone would take memory for its whole size at once: save the "
                    + "disk with `ramdisk-nbd save PATH`, and clone that with `ramdisk-nbd serve --template PATH`"
            )
        }
        try ContentName.check(name, of: "clone")
        guard !server.exports.contains(where: { $0.name == name }) else {
            throw ControlError(
                .conflict, "there is an export \(name) already; choose another name")
        }
        let (source, template, snapshotMemory) = try template(of: disk, snapshot)
        let entry: Entry
        do throws(RamDiskError) {
            entry = Entry(
                name: name, source: source, created: Date().timeIntervalSince1970,
                disk: try RamDisk(cloning: template))
        } catch {
            throw ControlError(.conflict, "\(error)")
        }
        entry.disk.snapshotMemoryLimit = snapshotMemory
        do throws(ServerError) {
            try server.add(Export(name: name, description: "clone of \(source)", disk: entry.disk))
        } catch {
            throw ControlError(.conflict, "\(error)")
        }
        entries.withLock { $0.append(entry) }
        logger.info("made a clone", metadata: ["export": "\(name)", "source": "\(source)"])
        return status(of: entry, server.statistics())
    }

    /// The clones, oldest first.
    var all: [CloneStatus] {
        let statistics = server.statistics()
        return entries.withLock { $0 }.map { status(of: $0, statistics) }
    }

    /// Deletes a clone and its checkpoints. Throws while clients use it, unless `isForced` is set: they can use it
    /// until they disconnect. Throws while it has snapshots.
    func delete(name: String, isForced: Bool) throws(ControlError) {
        try entries.withLock { (entries) throws(ControlError) in
            guard let index = entries.firstIndex(where: { $0.name == name }) else {
                let known = entries.map(\.name).joined(separator: ", ")
                throw ControlError(
                    .missing,
                    "there is no clone \(name); "
                        + (known.isEmpty ? "there is none at all" : "there are \(known)"))
            }
            let users = server.statistics().openConnections(to: name)
            guard users == 0 || isForced else {
                throw ControlError(
                    .conflict,
                    "\(users) clients use the clone \(name): disconnect them, or delete it with --force, and they "
                        + "keep it until they disconnect")
            }
            let own = snapshots.names(of: name)
            guard own.isEmpty else {
                throw ControlError(
                    .conflict,
                    "the clone \(name) has snapshots, which need its memory; delete them first: "
                        + own.joined(separator: ", "))
            }
            server.removeExport(named: name)
            entries.remove(at: index)
        }
        checkpoints.dropDeleted()
        logger.info("deleted a clone", metadata: ["export": "\(name)"])
    }

    private func status(of entry: Entry, _ statistics: ServerStatistics) -> CloneStatus {
        CloneStatus(
            export: entry.name, source: entry.source, createdUnixSeconds: entry.created,
            sizeBytes: entry.disk.size, ownBytes: entry.disk.residentBytes,
            templateBytes: entry.disk.template?.dataBytes ?? 0,
            openConnections: statistics.openConnections(to: entry.name))
    }

    // MARK: - Templates

    /// Finds or makes the template for a clone. Returns it with the name of its source, and with the limit of the
    /// memory for the clone's snapshots.
    private func template(
        of disk: String?, _ snapshot: String?
    ) throws(ControlError) -> (source: String, template: DiskTemplate, snapshotMemory: UInt64?) {
        if snapshot == nil, let export = server.clonesExport(disk), let template = export.template {
            return (export.name, template, nil)
        }
        let (export, ramDisk) = try server.disk(disk)
        if let snapshot {
            let found = try snapshots.find(disk: export, name: snapshot)
            return (found.export, try copy(of: found.snapshot), ramDisk.snapshotMemoryLimit)
        }
        do throws(SnapshotError) {
            let template = try DiskTemplate.copying(try ramDisk.makeSnapshot())
            return (export, template, ramDisk.snapshotMemoryLimit)
        } catch {
            throw ControlError("cannot clone the disk", error)
        }
    }

    private func copy(of snapshot: DiskSnapshot) throws(ControlError) -> DiskTemplate {
        try copies.withLock { (copies) throws(ControlError) in
            copies.removeAll { $0.template == nil || $0.snapshot == nil }
            if let template = copies.first(where: { $0.snapshot === snapshot })?.template {
                return template
            }
            do throws(SnapshotError) {
                let template = try DiskTemplate.copying(snapshot)
                copies.append(Copy(snapshot: snapshot, template: template))
                return template
            } catch {
                throw ControlError("cannot clone the snapshot", error)
            }
        }
    }
}

extension Server {
    /// The export with a name, or the first one, if it serves clones; nil otherwise.
    fileprivate func clonesExport(_ name: String?) -> Export? {
        let export = name.map { name in exports.first { $0.name == name } } ?? exports.first
        return export?.template == nil ? nil : export
    }
}
