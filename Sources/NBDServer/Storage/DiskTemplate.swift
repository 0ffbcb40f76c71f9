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
/// A template takes memory only for its data. Where 2 MiB are full of data, the kernel provides one page for them if it
/// can, which makes reading faster than from a sparse disk.
public final class DiskTemplate: Sendable {
    /// The size in bytes, of the template and of each clone.
    public var size: UInt64 { disk.size }
    /// Bytes of the pages that hold data.
    public var dataBytes: UInt64 { disk.pages.dataBytes }
    /// Bytes of memory that the clones take together.
    public var clonedBytes: UInt64 { budget.used }
    /// The contents. Nothing writes to this disk any more.
    let disk: RamDisk
    /// The memory that the clones take.
    let budget: CloneBudget
    private let budgetMemory: MemoryMapping

    /// Makes an empty template, to be filled before it is cloned.
    private init(size: UInt64, data: UInt64) throws(RamDiskError) {
        do throws(Errno) {
            budgetMemory = try MemoryMapping(privateBytes: CloneBudget.byteCount)
        } catch {
            throw .cannotAllocate(size: size, error)
        }
        budget = CloneBudget(memory: budgetMemory.region)
        disk = try RamDisk(
            DiskMemory(privateFor: size, data: data), size: size, isSparse: false,
            isFrozenSoon: true)
    }

    /// Reads a regular file, whose size is known. The template has its size, rounded up to whole pages. Holes of the
    /// file take no memory.
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
        let size = RamDisk.size(for: length)
        do throws(RamDiskError) {
            try self.init(size: size, data: min(data, size))
        } catch {
            throw .noDisk(path: path, error)
        }
        try disk.load(path: path)
        disk.pages.collapse()
    }

    /// Copies a snapshot. The copy does not need the snapshot any more. If the disk is a clone to which nothing was
    /// written, this returns its template and copies nothing.
    public static func copying(_ snapshot: DiskSnapshot) throws(SnapshotError) -> DiskTemplate {
        let source = snapshot.disk
        if let template = source.template, source.pages.template?.isShownWhole == true {
            return template
        }
        do throws(CopyError) {
            return try DiskTemplate(
                copying: snapshot, data: source.pages.dataBytes + source.preservedBytes)
        } catch {
            switch error {
            case .noDisk(let error): throw .noMemoryForCopy(error)
            case .unreadable:
                throw .outOfMemory(limit: source.snapshotMemoryLimit ?? source.preservedBytes)
            }
        }
    }

    /// Why a store was not copied.
    package enum CopyError: Error {
        /// There cannot be a disk for it.
        case noDisk(RamDiskError)
        /// The store cannot be read.
        case unreadable(BlockStoreError)
    }

    /// Copies a store that does not change meanwhile. It is read once, from its start to its end.
    ///
    /// - Parameter data: most bytes of it that may hold data.
    package convenience init(copying store: some BlockStore, data: UInt64) throws(CopyError) {
        do throws(RamDiskError) {
            try self.init(size: store.size, data: min(data, store.size))
        } catch {
            throw .noDisk(error)
        }
        do throws(BlockStoreError) {
            try disk.fill(from: store)
        } catch {
            throw .unreadable(error)
        }
        disk.pages.collapse()
    }
}

extension RamDisk {
    /// Makes a clone of a template. It may take the memory that is available now, together with all other clones of the
    /// template.
    ///
    /// - Throws: ``RamDiskError`` when the kernel refuses an address range or a descriptor for it.
    public convenience init(cloning template: DiskTemplate) throws(RamDiskError) {
        template.budget.setRoom(min(DiskMemory.sparseRoom, .max / 2))
        try self.init(
            DiskMemory(sharedFor: template.size), size: template.size, isSparse: true,
            template: template)
    }
}

extension DiskPages {
    /// Bytes of the pages that may hold data; for a clone, of its own and of those that show its template.
    var dataBytes: UInt64 {
        let pages = (0..<(map.pageCount + 63) / 64).reduce(0) { sum, index in
            let shown = template?.pages(.template, word: index, of: map) ?? 0
            return sum + (map.word(index) | shown).nonzeroBitCount
        }
        return UInt64(pages * Self.pageSize)
    }

    /// Asks the kernel for pages of 2 MiB where all of the range is data.
    fileprivate func collapse() {
        let length = MemoryMapping.largePageSize / Self.pageSize
        var page = 0
        while page + length <= map.pageCount {
            if map.first(marked: false, from: page, limit: page + length) == page + length {
                region.slice(at: page * Self.pageSize, count: MemoryMapping.largePageSize)
                    .collapseToHugePages()
            }
            page += length
        }
    }
}
