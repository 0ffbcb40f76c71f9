package import ProgramSupport
internal import Glibc
internal import LinuxIO
package import Logging
package import NBDServer
internal import SystemPackage

/// What one disk is to be.
package struct DiskConfiguration: Sendable {
    /// The name clients ask for.
    package var name: String
    /// In bytes; nil for the size of a backing that is found, else of the file that it begins with, else
    /// ``standardSize``.
    package var size: UInt64?
    package var isSparse: Bool
    package var isReadOnly: Bool
    /// A file that the disk begins with.
    package var load: String?
    /// Whether its memory comes out of the machine's pool of reserved huge pages.
    package var usesReservedPages = false
    /// Where its memory outlives the server, if it does.
    package var backing: BackingConfiguration?

    /// The file that its memory is; nil when the memory has no name.
    package var backingPath: String? { backing?.path(usesReservedPages) }

    /// What clients are told that it is.
    package var description = Self.standardDescription

    package init(
        name: String, size: UInt64? = nil, isSparse: Bool, isReadOnly: Bool, load: String? = nil,
        usesReservedPages: Bool = false, backing: BackingConfiguration? = nil,
        description: String = Self.standardDescription
    ) {
        self.name = name
        self.size = size
        self.isSparse = isSparse
        self.isReadOnly = isReadOnly
        self.load = load
        self.usesReservedPages = usesReservedPages
        self.backing = backing
        self.description = description
    }

    /// In bytes.
    package static let standardSize: UInt64 = 40 << 20
    package static let standardDescription = "ramdisk"

    /// Makes the disk, fills it, and gives it its name. A backing is not there for others to find
    /// until ``NBDServer/RamDisk/publish()``. That its memory cannot be locked is worth a warning only to who
    /// wants that: an ordinary user may hardly lock any.
    package func makeExport(logger: Logger, wantsLock: Bool = true) throws(Failure) -> Export {
        let disk = try makeDisk(logger: logger)
        if let failure = disk.lockFailure {
            logger.log(
                level: wantsLock ? .warning : .debug,
                "the disk's memory is not locked, so it may be swapped out: raise the limit with ulimit -l, or run as root",
                metadata: ["error": "\(failure)"])
        }
        if let load {
            if disk.inheritance == .none {
                try fill(disk, from: load)
            } else {
                logger.notice("the disk was found with its content, so nothing is loaded")
            }
        }
        return Export(name: name, description: description, disk: disk, isReadOnly: isReadOnly)
    }

    private func makeDisk(logger: Logger) throws(Failure) -> RamDisk {
        if let backing {
            return try backing.makeDisk(
                size: size, newSize: newSize, isSparse: isSparse,
                usesReservedPages: usesReservedPages, logger: logger)
        }
        let size = size ?? newSize
        do throws(RamDiskError) {
            return try usesReservedPages
                ? RamDisk(reservedPagesOf: size) : RamDisk(size: size, isSparse: isSparse)
        } catch {
            throw .system(error.withAdvice)
        }
    }

    /// Bytes of a new disk that nobody has asked a size for: those of the file that it begins with, in whole
    /// pages. A file that cannot be read, or has no length, is seen when it is loaded.
    private var newSize: UInt64 {
        guard let load, let length = Self.length(of: load) else { return Self.standardSize }
        let page = RamDisk.smallestSize
        guard length < RamDisk.largestSize else { return length }
        return max(page, (length + page - 1) / page * page)
    }

    /// Bytes in a file or a block device; nil for a pipe, and for what is not there. It is not opened unless
    /// it is a block device: opening a pipe would wait, or end it for who writes.
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
