package import ProgramSupport
package import DiskContents
internal import Glibc
internal import LinuxIO
package import Logging
package import NBDServer
internal import SystemPackage

/// An image that a disk is restored from and saved to.
package struct ImageConfiguration: Sendable, Equatable {
    /// The path of the file.
    package var path: String
    /// The interval between saves while the server runs; nil to save only when it stops.
    package var interval: Duration?
    /// Whether all of it is restored before the disk is served, however long that takes.
    package var isRestoredFirst: Bool

    package init(path: String, interval: Duration? = nil, isRestoredFirst: Bool = false) {
        self.path = path
        self.interval = interval
        self.isRestoredFirst = isRestoredFirst
    }
}

/// A disk that is ready to be served.
package struct MadeDisk: Sendable {
    package let export: Export
    /// The disk's image; nil when it has none.
    package let saved: SavedDisk?
}

/// The configuration of a disk.
package struct DiskConfiguration: Sendable {
    /// The export name.
    var name: String
    /// Bytes; nil for the size of an existing backing, else of the file to load, else ``standardSize``.
    package var size: UInt64?
    var isSparse: Bool
    var isReadOnly: Bool
    /// A file to fill a new disk from.
    package var load: String?
    /// Whether the memory comes from the machine's pool of reserved huge pages.
    package var usesReservedPages = false
    /// The backing; nil when the memory is freed when the server ends.
    package var backing: BackingConfiguration?

    /// The largest number of bytes for the pages that snapshots preserve; nil for half of what is available.
    package var snapshotMemory: UInt64?

    /// The image that the disk is restored from and saved to; nil for none.
    package var image: ImageConfiguration?

    /// The template that the disk is a clone of; nil for a disk of its own.
    package var template: Template?
    /// Whether each connection gets a clone of its own.
    package var clonesPerConnection = false

    /// Whether the contents are left out of core dumps.
    package var isLeftOutOfDumps = false

    /// Whether a new disk is filled, which takes long for a large one.
    package var isFilled: Bool { load != nil || image != nil || template != nil }

    /// The path of the backing; nil when there is none.
    package var backingPath: String? { backing?.path(usesReservedPages) }

    /// The description that clients see.
    package var description = Self.standardDescription

    package init(
        name: String, size: UInt64? = nil, isSparse: Bool, isReadOnly: Bool, load: String? = nil,
        usesReservedPages: Bool = false, backing: BackingConfiguration? = nil,
        description: String = Self.standardDescription, snapshotMemory: UInt64? = nil,
        image: ImageConfiguration? = nil, template: Template? = nil,
        clonesPerConnection: Bool = false
    ) {
        self.image = image
        self.template = template
        self.clonesPerConnection = clonesPerConnection
        self.snapshotMemory = snapshotMemory
        self.name = name
        self.size = size
        self.isSparse = isSparse
        self.isReadOnly = isReadOnly
        self.load = load
        self.usesReservedPages = usesReservedPages
        self.backing = backing
        self.description = description
    }

    /// Bytes of a disk whose size is given nowhere.
    static let standardSize: UInt64 = 40 << 20
    package static let standardDescription = "ramdisk"

    /// Makes the disk, fills it, and names it. Other processes cannot find a new backing until
    /// ``NBDServer/RamDisk/publish()``. Memory that cannot be locked causes a warning only with a protection: an
    /// ordinary user may lock hardly any.
    ///
    /// - Parameter showsProgress: whether a terminal shows the progress of a restore also when the disk is served.
    package func makeExport(
        logger: Logger, protection: Protection = .none, showsProgress: Bool = true
    ) throws(Failure) -> MadeDisk {
        if let template { return try makeClone(of: template.template()) }
        // First: an image that is in use or damaged costs the least time then.
        let saved = try image.map { (image) throws(Failure) in
            try SavedDisk(path: image.path, every: image.interval, logger: logger)
        }
        let isLate = saved.map { isRestoredLate($0, protection) } ?? false
        let disk = try makeDisk(imageSize: saved?.size, isFilledLate: isLate, logger: logger)
        if isLeftOutOfDumps { disk.leaveOutOfDumps() }
        disk.snapshotMemoryLimit = snapshotMemory
        if let failure = disk.lockFailure {
            logger.log(
                level: protection != .none ? .warning : .debug,
                "the disk's memory is not locked, so the kernel may swap it out: raise the limit with ulimit -l, or run as root",
                metadata: ["error": "\(failure)"])
        }
        if let load {
            if disk.inheritance == .none {
                try fill(disk, from: load)
            } else {
                logger.notice("the backing has content already, so --load is ignored")
            }
        }
        try saved?.restore(disk, export: name, showsProgress: showsProgress)
        let export = Export(
            name: name, description: description, disk: disk, isReadOnly: isReadOnly)
        return MadeDisk(export: export, saved: saved)
    }

    private func makeClone(of template: DiskTemplate) throws(Failure) -> MadeDisk {
        if clonesPerConnection {
            let export = Export(name: name, description: description, clonesOf: template)
            return MadeDisk(export: export, saved: nil)
        }
        let disk: RamDisk
        do throws(RamDiskError) {
            disk = try RamDisk(cloning: template)
        } catch {
            throw .system(error.withAdvice)
        }
        if isLeftOutOfDumps { disk.leaveOutOfDumps() }
        disk.snapshotMemoryLimit = snapshotMemory
        let export = Export(
            name: name, description: description, disk: disk, isReadOnly: isReadOnly)
        return MadeDisk(export: export, saved: nil)
    }

    /// Whether the disk is served while it is restored. A backing is not: the next server must find all of it. Nor is a
    /// disk that the machine swaps to, as reading the image needs memory.
    private func isRestoredLate(_ saved: SavedDisk, _ protection: Protection) -> Bool {
        image?.isRestoredFirst == false && backing == nil && !usesReservedPages
            && protection != .swap && saved.isRestoredLate
    }

    private func makeDisk(
        imageSize: UInt64?, isFilledLate: Bool, logger: Logger
    ) throws(Failure) -> RamDisk {
        let newSize = imageSize.map(RamDisk.size(for:)) ?? newSize
        if let backing {
            return try backing.makeDisk(
                size: size, newSize: newSize, isSparse: isSparse,
                usesReservedPages: usesReservedPages, logger: logger)
        }
        let size = size ?? newSize
        do throws(RamDiskError) {
            if isFilledLate { return try RamDisk(filledLate: size, isSparse: isSparse) }
            return try usesReservedPages
                ? RamDisk(reservedPagesOf: size) : RamDisk(size: size, isSparse: isSparse)
        } catch {
            throw .system(error.withAdvice)
        }
    }

    /// Bytes of a new disk without a given size: those of the file to load, in whole pages. A file that cannot be
    /// read, or has no length, causes an error when it is loaded.
    private var newSize: UInt64 {
        guard let load, let length = Self.length(of: load) else { return Self.standardSize }
        return RamDisk.size(for: length)
    }

    /// Returns the bytes in a file or block device; nil for a pipe or a missing file. Opens only block devices:
    /// opening a pipe would block, or closing it again would end it for its writer.
    private static func length(of path: String) -> UInt64? {
        var status = Glibc.stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return UInt64(status.st_size)
        case S_IFBLK:
            guard
                let file = try? FileDescriptor.open(
                    FilePath(path), .readOnly, options: .closeOnExec)
            else { return nil }
            return try? file.closeAfter { UInt64(try file.seek(offset: 0, from: .end)) }
        default: return nil
        }
    }

    private func fill(_ disk: RamDisk, from path: String) throws(Failure) {
        do throws(RamDisk.LoadError) {
            try disk.load(path: path)
        } catch {
            throw .noInput("\(error)")
        }
    }
}

extension RamDiskError {
    /// The error, with the option that avoids it.
    var withAdvice: String {
        if case .reservedPages = self { "\(self), or go without --huge-pages" } else { "\(self)" }
    }
}
