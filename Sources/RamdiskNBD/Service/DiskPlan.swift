// A disk that is wanted, and its making.

internal import LinuxIO
internal import Logging
internal import NBDServer

/// What one disk is to be.
struct DiskPlan: Sendable {
    /// The name clients ask for.
    var name: String
    /// In bytes; nil for the size of a backing that is found, else ``standardSize``.
    var size: UInt64?
    var isSparse: Bool
    var isReadOnly: Bool
    /// A file that the disk begins with.
    var load: String?
    /// Whether its memory comes out of the machine's pool of reserved huge pages.
    var usesReservedPages = false
    /// Where its memory outlives the server, if it does.
    var backing: BackingPlan?

    /// In bytes.
    static let standardSize: UInt64 = 40 << 20

    /// Makes the disk, fills it, and gives it its name. A backing is not there for others to find
    /// until ``NBDServer/RamDisk/publish()``.
    func makeExport(logger: Logger) throws(Failure) -> Export {
        let disk = try makeDisk(logger: logger)
        if let failure = disk.lockFailure {
            logger.warning(
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
        return Export(name: name, disk: disk, isReadOnly: isReadOnly)
    }

    private func makeDisk(logger: Logger) throws(Failure) -> RamDisk {
        if let backing {
            return try backing.makeDisk(
                size: size, isSparse: isSparse, usesReservedPages: usesReservedPages,
                logger: logger)
        }
        let size = size ?? Self.standardSize
        do throws(RamDiskError) {
            return try usesReservedPages
                ? RamDisk(reservedPagesOf: size) : RamDisk(size: size, isSparse: isSparse)
        } catch {
            throw .system("\(error)")
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
