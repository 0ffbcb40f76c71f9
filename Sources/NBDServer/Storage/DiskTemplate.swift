internal import LinuxIO
internal import SystemPackage

/// The contents of a disk that never change, for any number of clones.
///
/// A clone is a ``RamDisk`` that begins with the template's contents. It takes memory only for the pages that are
/// written to it, and reads the others from the template's memory, which exists as long as the template or one of
/// its clones does.
///
/// ```swift
/// let template = try DiskTemplate(path: "database.img")
/// let clone = try RamDisk(cloning: template)
/// ```
///
/// A template takes memory only for its data. The kernel provides that in pages of 2 MiB where it can, which makes
/// reading faster than from a sparse disk.
public final class DiskTemplate: Sendable {
    /// The size in bytes, of the template and of each clone.
    public var size: UInt64 { disk.size }
    /// Bytes of the pages that hold data.
    public var dataBytes: UInt64 {
        let map = disk.pages.map
        let words = 0..<(map.pageCount + 63) / 64
        return UInt64(words.reduce(0) { $0 + map.word($1).nonzeroBitCount } * DiskPages.pageSize)
    }
    /// The contents. Nothing writes to this disk any more.
    let disk: RamDisk

    /// Makes an empty template, to be filled before it is cloned.
    private init(size: UInt64, data: UInt64) throws(RamDiskError) {
        disk = try RamDisk(
            DiskMemory(privateFor: size, data: data), size: size, isSparse: false,
            isFrozenSoon: true)
    }

    /// Reads a regular file. The template has its size, rounded up to whole pages. Holes of the file take no memory.
    public convenience init(path: String) throws(RamDisk.LoadError) {
        let length: UInt64
        let data: UInt64
        do throws(Errno) {
            let file = try InputFile(path: path)
            guard let size = try file.size, let stored = try file.storedBytes else {
                throw .illegalSeek
            }
            length = size
            data = stored
        } catch {
            throw .unreadable(path: path, error)
        }
        let page = RamDisk.smallestSize
        let size = max(page, (length + page - 1) / page * page)
        do throws(RamDiskError) {
            try self.init(size: size, data: min(data, size))
        } catch {
            throw .noDisk(path: path, error)
        }
        try disk.load(path: path)
    }

    /// Copies a snapshot. The copy does not need the snapshot any more. If the disk is a clone to which nothing was
    /// written, this returns its template and copies nothing.
    public static func copying(_ snapshot: DiskSnapshot) throws(SnapshotError) -> DiskTemplate {
        let source = snapshot.disk
        if let template = source.template, source.pages.template?.isShownWhole == true {
            return template
        }
        let copy: DiskTemplate
        do throws(RamDiskError) {
            let data = source.residentBytes + (source.template?.dataBytes ?? 0)
            copy = try DiskTemplate(size: source.size, data: min(data, source.size))
        } catch {
            throw .noMemoryForCopy(error)
        }
        do throws(BlockStoreError) {
            try copy.disk.fill(from: snapshot)
        } catch {
            throw .outOfMemory(limit: source.snapshotMemoryLimit ?? source.preservedBytes)
        }
        return copy
    }
}

extension RamDisk {
    /// Makes a clone of a template.
    ///
    /// - Throws: ``RamDiskError`` when the kernel refuses an address range or a descriptor for it.
    public convenience init(cloning template: DiskTemplate) throws(RamDiskError) {
        try self.init(
            DiskMemory(sharedFor: template.size), size: template.size, isSparse: true,
            template: template)
    }
}
