internal import FoundationEssentials
package import Logging
package import NBDServer
package import Observability
internal import Synchronization

/// The named snapshots of a running server. Each is a read-only export, `DISK@SNAPSHOT`.
package final class SnapshotCatalog: SnapshotKeeper {
    private struct Entry {
        let disk: String
        let name: String
        let created: Double
        /// The snapshot; nil when it is lost, so that it takes no more memory.
        var snapshot: DiskSnapshot?
        let size: UInt64

        var export: String { SnapshotCatalog.export(disk: disk, name) }
    }

    private let server: Server
    private let logger: Logger
    private let entries = Mutex<[Entry]>([])
    private let watch = LossWatch()

    package init(server: Server, logger: Logger) {
        self.server = server
        self.logger = logger
    }

    /// Returns the export name of a snapshot.
    static func export(disk: String, _ name: String) -> String { "\(disk)@\(name)" }

    // MARK: - Commands

    /// Takes a snapshot, and serves it.
    package func create(disk: String?, name: String) throws(ControlError) -> SnapshotStatus {
        try ContentName.check(name, of: "snapshot")
        let (export, ramDisk) = try server.disk(disk)
        let entry = try entries.withLock { (entries) throws(ControlError) in
            guard !entries.contains(where: { $0.disk == export && $0.name == name }) else {
                throw ControlError(
                    .conflict,
                    "there is a snapshot \(Self.export(disk: export, name)) already; choose another name, or "
                        + "delete it first")
            }
            let snapshot: DiskSnapshot
            do throws(SnapshotError) {
                snapshot = try ramDisk.makeSnapshot()
            } catch {
                throw ControlError(.conflict, "cannot take a snapshot: \(error)")
            }
            let entry = Entry(
                disk: export, name: name, created: Date().timeIntervalSince1970,
                snapshot: snapshot, size: ramDisk.size)
            do throws(ServerError) {
                try server.add(
                    Export(
                        name: entry.export, description: "snapshot", store: snapshot,
                        isReadOnly: true))
            } catch {
                throw ControlError(.conflict, "\(error)")
            }
            entries.append(entry)
            return entry
        }
        watch.start(for: self)
        logger.info("took a snapshot", metadata: ["export": "\(entry.export)"])
        return status(of: entry, server.statistics())
    }

    /// The snapshots, oldest first.
    package var all: [SnapshotStatus] {
        let statistics = server.statistics()
        return entries.withLock { $0 }.map { status(of: $0, statistics) }
    }

    /// Deletes a snapshot. Throws while clients read it, unless `isForced` is set: they can read it until they
    /// disconnect.
    package func delete(disk: String?, name: String, isForced: Bool) throws(ControlError) {
        // Search by the name alone: the disk may have been deleted while its snapshot was taken.
        let export = if let disk { disk } else { try server.disk(nil).export }
        let removed = try entries.withLock { (entries) throws(ControlError) -> Entry in
            let index = try Self.index(of: name, export, entries)
            let readers = server.statistics().openConnections(to: entries[index].export)
            guard readers == 0 || isForced else {
                throw ControlError(
                    .conflict,
                    "\(readers) clients read the snapshot \(entries[index].export): disconnect them, or delete "
                        + "it with --force, and they keep it until they disconnect")
            }
            // A lost snapshot has no export, and another export may have its name.
            if entries[index].snapshot != nil {
                server.removeExport(named: entries[index].export)
            }
            return entries.remove(at: index)
        }
        logger.info("deleted a snapshot", metadata: ["export": "\(removed.export)"])
    }

    /// Restores a disk to a snapshot. Throws while clients use the disk, unless `isForced` is set.
    package func rollBack(disk: String?, name: String, isForced: Bool) throws(ControlError) {
        let (export, ramDisk) = try server.disk(disk)
        let entry = try entries.withLock { (entries) throws(ControlError) in
            entries[try Self.index(of: name, export, entries)]
        }
        let users = server.statistics().openConnections(to: export)
        guard users == 0 || isForced else {
            throw ControlError(
                .conflict,
                "the disk has \(users) connections: unmount and detach it first, or use --force, which changes "
                    + "the disk under its users")
        }
        do throws(SnapshotError) {
            guard let snapshot = entry.snapshot else { throw .outOfMemory(limit: 0) }
            try ramDisk.rollBack(to: snapshot)
        } catch {
            throw ControlError("cannot roll back to \(entry.export)", error)
        }
        logger.notice("rolled back to a snapshot", metadata: ["export": "\(entry.export)"])
    }

    // MARK: - Finding

    /// Returns the names of a disk's snapshots, including the lost ones.
    func names(of disk: String) -> [String] {
        entries.withLock { $0.filter { $0.disk == disk }.map(\.export) }
    }

    /// Returns a snapshot, and the name of its export.
    func find(
        disk: String?, name: String
    ) throws(ControlError) -> (export: String, snapshot: DiskSnapshot) {
        let export = try server.disk(disk).export
        let entry = try entries.withLock { (entries) throws(ControlError) in
            entries[try Self.index(of: name, export, entries)]
        }
        guard let snapshot = entry.snapshot else {
            throw ControlError(.conflict, "the snapshot \(entry.export) is lost")
        }
        return (entry.export, snapshot)
    }

    private static func index(
        of name: String, _ disk: String, _ entries: [Entry]
    ) throws(ControlError) -> Int {
        guard let index = entries.firstIndex(where: { $0.disk == disk && $0.name == name }) else {
            let known = entries.map(\.export).joined(separator: ", ")
            throw ControlError(
                .missing,
                "there is no snapshot \(export(disk: disk, name)); "
                    + (known.isEmpty ? "there is none at all" : "there are \(known)"))
        }
        return index
    }

    private func status(of entry: Entry, _ statistics: ServerStatistics) -> SnapshotStatus {
        SnapshotStatus(
            disk: entry.disk, name: entry.name, export: entry.export,
            createdUnixSeconds: entry.created, sizeBytes: entry.size,
            isLost: entry.snapshot?.isLost ?? true,
            openConnections: statistics.openConnections(to: entry.export),
            preservedBytes: entry.snapshot?.disk.preservedBytes ?? 0)
    }

    // MARK: - Lost snapshots

    var hasSnapshots: Bool { entries.withLock { $0.contains { $0.snapshot != nil } } }

    func dropLost() {
        let lost = entries.withLock { entries in
            var lost: [Entry] = []
            for index in entries.indices where entries[index].snapshot?.isLost == true {
                server.removeExport(named: entries[index].export)
                lost.append(entries[index])
                entries[index].snapshot = nil
            }
            return lost
        }
        for entry in lost {
            logger.error(
                "a snapshot is lost, since the memory for preserved pages was used up: allow more with --snapshot-memory, or delete snapshots sooner",
                metadata: ["export": "\(entry.export)"])
        }
    }

    /// Ends the thread that looks for lost snapshots.
    package func stop() { watch.stop() }
}

extension ControlError {
    /// A command that failed with a snapshot. Names the option that gives snapshots more memory.
    init(_ what: String, _ error: SnapshotError) {
        let hint = if case .outOfMemory = error { "; see --snapshot-memory" } else { "" }
        self.init(.conflict, "\(what): \(error)\(hint)")
    }
}

extension ServerStatistics {
    /// The number of connections that use an export; 0 for an unknown one.
    func openConnections(to export: String) -> Int {
        exports.first { $0.name == export }?.openConnections ?? 0
    }
}

extension Server {
    /// Finds a disk by its export's name; nil stands for the first.
    func disk(_ name: String?) throws(ControlError) -> (export: String, disk: RamDisk) {
        let disks = exports.filter { $0.ramDisk != nil }
        guard let export = name.map({ name in disks.first { $0.name == name } }) ?? disks.first,
            let ramDisk = export.ramDisk
        else {
            let names = disks.map { "\"\($0.name)\"" }.joined(separator: ", ")
            throw ControlError(
                .missing,
                "there is no disk \"\(name ?? "")\"; "
                    + (names.isEmpty ? "no export is a disk of its own" : "the disks are \(names)"))
        }
        return (export.name, ramDisk)
    }
}
