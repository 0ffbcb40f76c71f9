internal import LinuxIO
public import NBDProtocol
internal import Synchronization

/// A disk as it was at one instant. Clients continue to write to the disk.
///
/// Every write that was acknowledged before the snapshot is in it, and none that began after it. A write in
/// progress at that instant may be in it, out of it, or partly in it; whatever the snapshot shows, it shows for
/// as long as it exists. It is a read-only store, so an ``Export`` can serve it.
///
/// The snapshot takes memory for the pages that change after it, up to ``RamDisk/snapshotMemoryLimit`` for all
/// snapshots of the disk. It ends, and releases that memory, with this object. When the limit is reached, all
/// snapshots of the disk are lost (``isLost``), and the disk itself is unaffected.
public final class DiskSnapshot: BlockStore {
    /// The size of the disk in bytes.
    public let size: UInt64
    /// The disk.
    public let disk: RamDisk
    /// The epoch that began with the snapshot: later snapshots of a disk have later ones.
    public let epoch: UInt64

    /// - Parameter isCheckpoint: whether it may be committed (``RamDisk/makeCheckpoint()``).
    init(of disk: RamDisk, isCheckpoint: Bool = false) throws(SnapshotError) {
        guard !disk.isPending else { throw .contentsMissing }
        self.disk = disk
        size = disk.size
        epoch = try disk.versionMemory.begin(isCheckpoint: isCheckpoint, disk.pages)
    }

    deinit { disk.versionMemory.delete(epoch) }

    /// Whether the memory for preserved pages was used up, so that the snapshot cannot be read any more.
    public var isLost: Bool { epoch <= disk.pages.versions.newestLost }

    private var lost: SnapshotError {
        .outOfMemory(limit: disk.snapshotMemoryLimit ?? disk.preservedBytes)
    }

    // MARK: - As a store

    /// Copies bytes as they were at the instant of the snapshot.
    public func read(
        at offset: UInt64, into buffer: inout MutableSpan<UInt8>
    ) throws(BlockStoreError) {
        guard offset <= size, UInt64(buffer.count) <= size - offset else {
            throw .invalid("the range is not inside the disk")
        }
        let pageSize = DiskPages.pageSize
        var done = 0
        while done < buffer.count {
            let start = offset + UInt64(done)
            let inPage = Int(start % UInt64(pageSize))
            let count = min(pageSize - inPage, buffer.count - done)
            guard copy(Int(start / UInt64(pageSize)), inPage, count, to: &buffer, at: done) else {
                throw .inputOutput("\(lost)")
            }
            done += count
        }
    }

    /// Copies a part of a page to a part of a buffer. Returns false when the page is lost.
    private func copy(
        _ page: Int, _ start: Int, _ count: Int, to buffer: inout MutableSpan<UInt8>, at place: Int
    ) -> Bool {
        disk.pages.withPage(page, at: epoch) { preserved, _ in
            switch preserved {
            case .bytes(let bytes):
                bytes.slice(at: start, count: count).copy(to: &buffer, at: place)
            case .zeroes:
                disk.zeroes(count).copy(to: &buffer, at: place)
            case .lost: return false
            }
            return true
        }
    }

    /// Throws: a snapshot does not change.
    public func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(BlockStoreError) {
        throw .notPermitted("a snapshot cannot be written to")
    }

    /// Throws: a snapshot does not change.
    public func discard(_ range: Range<UInt64>) throws(BlockStoreError) {
        throw .notPermitted("a snapshot cannot be written to")
    }

    /// Throws: a snapshot does not change.
    public func zero(_ range: Range<UInt64>, options: ZeroOptions) throws(BlockStoreError) {
        throw .notPermitted("a snapshot cannot be written to")
    }

    /// Returns how far a range, from its start on, was either empty or may have held data.
    public func firstExtent(of range: Range<UInt64>) throws(BlockStoreError) -> Extent {
        guard range.upperBound <= size, !range.isEmpty else {
            throw .invalid("the range is empty, or not inside the disk")
        }
        let extent = disk.pages.firstRun(of: range, where: isEmpty)
        return Extent(length: extent.count, status: extent.matches ? .empty : .data)
    }

    private func isEmpty(_ page: Int) -> Bool {
        disk.pages.withPage(page, at: epoch) { preserved, _ in
            if case .zeroes = preserved { true } else { false }
        }
    }

    /// Returns how far a range, from its start on, had the same `qemu:allocation-depth`.
    public func firstExtent(
        of range: Range<UInt64>, in context: MetadataContext
    ) throws(BlockStoreError) -> Extent {
        guard context == .allocationDepth else {
            throw .notSupported("a snapshot does not know \(context.name)")
        }
        guard range.upperBound <= size, !range.isEmpty else {
            throw .invalid("the range is empty, or not inside the disk")
        }
        // One search: a search for the end of the data first would visit its pages again for each extent.
        let first = depth(Int(range.lowerBound / UInt64(DiskPages.pageSize)))
        let run = disk.pages.firstRun(of: range) { depth($0) == first }
        return Extent(length: run.count, flags: first)
    }

    /// The `qemu:allocation-depth` of a page: 0 for a hole, 1 for the disk's own data, 2 for data of the template.
    private func depth(_ page: Int) -> UInt32 {
        if isEmpty(page) { return 0 }
        return disk.template != nil && disk.pages.showsTemplate(page, at: epoch) ? 2 : 1
    }

    // MARK: - Changes

    /// A moment of a disk since which its changes are known, for as long as the object exists.
    public final class Marker: Sendable {
        fileprivate let disk: RamDisk
        fileprivate let epoch: UInt64

        /// The moment when an epoch began, which is not over while something else owns it.
        init(of disk: RamDisk, epoch: UInt64) {
            self.disk = disk
            self.epoch = epoch
            disk.versionMemory.retainMarker()
        }

        deinit { disk.versionMemory.releaseMarker() }

        /// Bytes of the pages that have changed since, up to the end of the last page.
        public var changedBytes: UInt64 {
            let versions = disk.pages.versions
            let count = (0..<versions.pageCount).count { versions.peek($0).birth >= epoch }
            return UInt64(count * DiskPages.pageSize)
        }
    }

    /// Returns a marker of the snapshot's instant. It takes no memory for preserved pages, so keep it in place of
    /// the snapshot to ask a later one for changes.
    public func makeMarker() -> Marker { Marker(of: disk, epoch: epoch) }

    /// Returns the next pages at or after an offset that may differ between the marker's instant and this
    /// snapshot, as a range of bytes; nil when there are none. Pages that were written with the bytes that they
    /// had are among them.
    public func nextChange(since marker: Marker, from offset: UInt64) -> Range<UInt64>? {
        var offset = offset
        while offset < size {
            let run = changes(in: offset..<size, since: marker)
            if run.matches { return offset..<offset + run.count }
            offset += run.count
        }
        return nil
    }

    /// Returns how far a range, from its start on, either may differ between the marker's instant and this snapshot
    /// or does not, and which of the two. Throws when the range is not inside the disk, and when the snapshot is lost.
    public func firstRun(
        of range: Range<UInt64>, since marker: Marker
    ) throws(BlockStoreError) -> (length: UInt64, isChanged: Bool) {
        guard range.upperBound <= size, !range.isEmpty else {
            throw .invalid("the range is empty, or not inside the disk")
        }
        let run = changes(in: range, since: marker)
        // Check afterwards: a page of a snapshot that was lost in between has no birth.
        guard !isLost else { throw .inputOutput("\(lost)") }
        return (run.count, run.matches)
    }

    private func changes(
        in range: Range<UInt64>, since marker: Marker
    ) -> (count: UInt64, matches: Bool) {
        precondition(marker.disk === disk, "the marker is of another disk")
        return disk.pages.firstRun(of: range) { [pages = disk.pages, epoch] page in
            // A page that was never changed needs no lock.
            pages.versions.peek(page).birth >= marker.epoch
                && pages.withPage(page, at: epoch) { $1 >= marker.epoch }
        }
    }
}

extension DiskPages {
    /// Returns how long a range of bytes, from its start on, consists of pages for which a condition is true, or of
    /// pages for which it is false, and which of the two.
    func firstRun(
        of range: Range<UInt64>, where condition: (Int) -> Bool
    ) -> (count: UInt64, matches: Bool) {
        let pages = pages(touchedAt: range.lowerBound, count: range.upperBound - range.lowerBound)
        let matches = condition(pages.lowerBound)
        var end = pages.lowerBound + 1
        while end < pages.upperBound, condition(end) == matches { end += 1 }
        return (min(range.upperBound, bytes(end)) - range.lowerBound, matches)
    }
}

// MARK: - Taking snapshots

extension RamDisk {
    /// Takes a snapshot. Clients are not stopped, and one that is in the middle of a write does not delay it.
    public func makeSnapshot() throws(SnapshotError) -> DiskSnapshot { try DiskSnapshot(of: self) }

    /// The largest number of bytes that the snapshots of this disk may take for preserved pages; nil (the default) for
    /// a half of what the machine has available when a snapshot is taken. What the machine had available when the disk
    /// was made is an upper bound.
    public var snapshotMemoryLimit: UInt64? {
        get { versionMemory.limit }
        set { versionMemory.limit = newValue }
    }

    /// Bytes that the snapshots of this disk take for preserved pages at present.
    public var preservedBytes: UInt64 { versionMemory.usedBytes }

    /// Restores the disk to the instant of a snapshot: rewrites the pages that have changed since. Safe while clients
    /// use the disk, but a client that writes at the same time may find its write undone or not.
    public func rollBack(to snapshot: DiskSnapshot) throws(SnapshotError) {
        guard snapshot.disk === self else { throw .otherDisk }
        for page in 0..<pages.map.pageCount
        where pages.versions.peek(page).birth >= snapshot.epoch {
            try restore(page, from: snapshot)
        }
    }

    private func restore(_ page: Int, from snapshot: DiskSnapshot) throws(SnapshotError) {
        let offset = pages.bytes(page)
        let count = min(UInt64(DiskPages.pageSize), size - offset)
        // Copied first: writing the page locks it.
        let bytes: [UInt8]? = pages.withPage(page, at: snapshot.epoch) { preserved, _ in
            switch preserved {
            case .bytes(let region): region.slice(at: 0, count: Int(count)).bytes
            case .zeroes: []
            case .lost: nil
            }
        }
        let limit = snapshotMemoryLimit ?? preservedBytes
        guard let bytes else { throw .outOfMemory(limit: limit) }
        if bytes.isEmpty {
            pages.trim(at: offset, count: count)
        } else {
            do throws(AccessError) {
                try write(bytes, at: offset)
            } catch {
                throw .outOfMemory(limit: limit)
            }
        }
    }
}
