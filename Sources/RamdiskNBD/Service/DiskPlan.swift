// A disk that is wanted, and its making.

internal import LinuxIO
internal import Logging
internal import NBDServer

/// What one disk is to be.
struct DiskPlan: Sendable {
    /// The name clients ask for.
    var name: String
    /// In bytes.
    var size: UInt64
    var isSparse: Bool
    var isReadOnly: Bool
    /// A file that the disk begins with.
    var load: String?

    /// Makes the disk, fills it, and gives it its name.
    func makeExport(logger: Logger) throws(Failure) -> Export {
        let disk: RamDisk
        do throws(RamDiskError) {
            disk = try RamDisk(size: size, isSparse: isSparse)
        } catch {
            throw .system("\(error)")
        }
        if let failure = disk.lockFailure {
            logger.warning(
                "the disk's memory is not locked, so it may be swapped out: raise the limit with ulimit -l, or run as root",
                metadata: ["error": "\(failure)"])
        }
        if let load {
            do throws(RamDisk.LoadError) {
                try disk.load(path: load)
            } catch {
                throw .noInput("\(error)")
            }
        }
        return Export(name: name, description: "ramdisk", disk: disk, isReadOnly: isReadOnly)
    }
}
