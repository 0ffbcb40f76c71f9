internal import LinuxIO
internal import SystemPackage

/// A run of a disk's bytes.
struct DiskExtent: Sendable, BitwiseCopyable {
    /// Where the bytes of a run are.
    enum Source: Sendable, BitwiseCopyable {
        /// In the disk's memory. The run may hold data.
        case disk
        /// In the memory of the template that the disk is a clone of.
        case template
        /// Nowhere: the run is certainly zero.
        case none
    }

    /// Length in bytes; at least one.
    var count: UInt64
    /// Where the bytes are.
    var source: Source

    /// Whether the run is certainly zero; otherwise it may hold data.
    @inline(__always)
    var isEmpty: Bool { source == .none }
}

/// The pages of a disk, as the connections' threads read and write them.
///
/// A plain value without references, so the request path copies it without reference counting. It
/// belongs to a ``RamDisk`` and must not be used after that.
///
/// Offsets and counts are in bytes. Callers have checked that they lie inside the disk
/// (``NBDProtocol/RequestRules``), and that the count is at least one. A range outside the disk
/// traps.
///
/// Every method is safe to call from any thread.
struct DiskPages: Sendable, BitwiseCopyable {
    /// Bytes in the disk.
    let size: UInt64
    /// The memory object that a sparse disk provisions memory in, and releases it to; nil for a
    /// plain disk, which has all its memory from the start.
    let shared: SharedMemoryHandle?
    /// All bytes of the disk, up to the end of the last page.
    let region: MemoryRegion
    /// The zeroes that reads of a sparse disk's empty pages are sent from.
    let zeroes: MemoryRegion
    /// The pages that may hold data.
    let map: AllocationMap
    /// The threads that need pages of a sparse disk, and those that release them.
    let pins: PagePins
    /// The pages of a plain disk that are being zeroed.
    let zeroing: ZeroingRanges
    /// The largest number of bytes of memory that a sparse disk takes.
    var memoryLimit: Int
    /// The births of the pages, and what snapshots show of them.
    let versions: PageVersions
    /// The template's pages that a clone, which is a sparse disk, still shows; nil for any other disk.
    var template: TemplatePages?
    /// The bitmaps in a backing that tell the next server which pages have changed; nil without a backing.
    var bitmaps: DirtyBitmaps?
    /// The slot in which the connection that uses this value announces its changes; -1 outside of connections,
    /// where each change takes one.
    var slot = -1

    /// Bytes in a page, the unit of the map and of releasing memory. Where the kernel's own pages
    /// are larger, the kernel keeps a page of which a part is released and zeroes that part, which
    /// has the same effect for clients.
    static var pageSize: Int { 4096 }

    /// Returns the pages in a disk of `size` bytes, including a last one that is used in part.
    static func count(of size: UInt64) -> Int {
        Int((size + UInt64(pageSize) - 1) / UInt64(pageSize))
    }

    // MARK: - Reading

    /// Returns the bytes of a range, from its start as far as they are contiguous. They stay in
    /// place until `pins` are unpinned.
    ///
    /// Empty pages of a sparse disk are read from shared zeroes, so that reading takes no memory.
    @inline(__always)
    func readable(
        at offset: UInt64, count: UInt64, pins: inout ReadPins
    ) -> MemoryRegion {
        if shared == nil { return slice(at: offset, count: count) }
        return readableSparse(at: offset, count: count, pins: &pins)
    }

    private func readableSparse(
        at offset: UInt64, count: UInt64, pins: inout ReadPins
    ) -> MemoryRegion {
        let extent = extentToRead(at: offset, count: count, pins: &pins)
        guard extent.isEmpty else { return data(of: extent, at: offset) }
        return zeroes.slice(at: 0, count: min(Int(extent.count), zeroes.count))
    }

    /// Returns the extent at the start of a range. If its bytes are in the disk's memory, its pages
    /// are pinned: the data stays in place until `pins` are unpinned. A template's never moves.
    @inline(__always)
    func extentToRead(
        at offset: UInt64, count: UInt64, pins: inout ReadPins
    ) -> DiskExtent {
        let extent = extent(at: offset, count: count)
        if shared == nil || extent.source != .disk { return extent }
        return pinExtent(at: offset, count: extent.count, pins: &pins)
    }

    /// Pins a range for a reader, and returns the extent at its start as it is then. Before the
    /// pin, a trim could still release the memory.
    private func pinExtent(
        at offset: UInt64, count: UInt64, pins: inout ReadPins
    ) -> DiskExtent {
        let pages = pages(touchedAt: offset, count: count)
        self.pins.pin(pages)
        let extent = extent(at: offset, count: count)
        if extent.source == .disk { pins.add(pages) } else { self.pins.unpin(pages) }
        return extent
    }

    /// Returns the extent at the start of a range: its longest part that has one source.
    @inline(__always)
    func extent(at offset: UInt64, count: UInt64) -> DiskExtent {
        if template != nil { return extentOfClone(at: offset, count: count) }
        return extentOfDisk(at: offset, count: count)
    }

    private func extentOfDisk(at offset: UInt64, count: UInt64) -> DiskExtent {
        let pages = pages(touchedAt: offset, count: count)
        let isMarked = map.isMarked(pages.lowerBound)
        // Search from the next page on: another thread may have changed this one's bit by now.
        let end = map.first(marked: !isMarked, from: pages.lowerBound + 1, limit: pages.upperBound)
        return DiskExtent(
            count: min(count, bytes(end) - offset), source: isMarked ? .disk : .none)
    }

    /// Returns the bytes of an extent with data.
    @inline(__always)
    func data(of extent: DiskExtent, at offset: UInt64) -> MemoryRegion {
        if extent.source == .template { return templateData(at: offset, count: extent.count) }
        return slice(at: offset, count: extent.count)
    }

    // MARK: - Writing

    /// Returns the memory that a write's bytes go to. The caller moves the bytes, and calls
    /// ``endWrite(at:count:)`` then.
    ///
    /// Returns nil when there is no memory for a sparse disk; no byte has changed then.
    @inline(__always)
    func beginWrite(at offset: UInt64, count: UInt64) -> MemoryRegion? {
        let pages = pages(touchedAt: offset, count: count)
        beginChange(of: pages)
        if let shared {
            pins.pin(pages)
            guard provision(pages, from: shared) else {
                pins.unpin(pages)
                endChange(of: pages)
                return nil
            }
        }
        map.mark(pages)
        return slice(at: offset, count: count)
    }

    /// Ends a write; to be called once for each ``beginWrite(at:count:)`` that returned memory,
    /// whether the bytes have arrived or will not arrive any more.
    @inline(__always)
    func endWrite(at offset: UInt64, count: UInt64) {
        let pages = pages(touchedAt: offset, count: count)
        map.markAgain(pages)
        if shared != nil { pins.unpin(pages) }
        endChange(of: pages)
    }

    // MARK: - Pages

    /// Provisions memory for those of the pages that have none, and marks them. In a clone they
    /// get the template's bytes. The caller has pinned the pages.
    ///
    /// Provisions run by run, and other threads may have a turn in between: a request can be as long as the disk.
    /// Returns false when there is too little memory left. For a request of more than one run this is known before
    /// most of the memory is taken, unless another thread takes some meanwhile; then the pages that have got memory
    /// keep it.
    func provision(_ pages: Range<Int>, from shared: SharedMemoryHandle) -> Bool {
        var page = map.first(marked: false, from: pages.lowerBound, limit: pages.upperBound)
        if pages.upperBound - page > PagePins.runLength,
            !hasRoom(for: page..<pages.upperBound, in: shared)
        {
            return false
        }
        while page < pages.upperBound {
            let end = min(pages.upperBound, PagePins.endOfRun(with: page))
            guard provisionPiece(page..<end, from: shared) else { return false }
            page = map.first(marked: false, from: end, limit: pages.upperBound)
        }
        return true
    }

    /// Returns whether the pages without memory fit in the disk's limit and in its file system.
    func hasRoom(for pages: Range<Int>, in shared: SharedMemoryHandle) -> Bool {
        var count = 0
        var page = pages.lowerBound
        while page < pages.upperBound {
            let end = map.first(marked: true, from: page + 1, limit: pages.upperBound)
            count += end - page
            page = map.first(marked: false, from: end, limit: pages.upperBound)
        }
        let bytes = count * Self.pageSize
        return bytes <= memoryLimit - min(memoryLimit, shared.residentBytes)
            && bytes <= shared.availableBytes
    }

    /// Provisions memory for pages of one run, while it holds the lock of the disk's memory.
    private func provisionPiece(_ pages: Range<Int>, from shared: SharedMemoryHandle) -> Bool {
        let pageSize = Self.pageSize
        pins.beginProvisioning()
        defer { pins.endProvisioning() }
        // Another thread may have provisioned the first page while this one waited for the lock.
        var page = map.first(marked: false, from: pages.lowerBound, limit: pages.upperBound)
        while page < pages.upperBound {
            let end = map.first(marked: true, from: page + 1, limit: pages.upperBound)
            let resident = shared.residentBytes &+ (end - page) * pageSize
            guard resident <= memoryLimit, template?.count(resident) ?? true else { return false }
            do throws(Errno) {
                try shared.provision(offset: page * pageSize, count: (end - page) * pageSize)
            } catch {
                _ = template?.count(shared.residentBytes)
                return false
            }
            template?.copy(page..<end, to: region)
            // Mark each run at once, so that a trim finds it even if there is no memory for a later
            // one.
            map.mark(page..<end)
            template?.hide(page..<end)
            page = map.first(marked: false, from: end, limit: pages.upperBound)
        }
        return true
    }

    @inline(__always)
    func slice(at offset: UInt64, count: UInt64) -> MemoryRegion {
        region.slice(at: Int(offset), count: Int(count))
    }

    /// Returns the offset of a page, in bytes.
    func bytes(_ page: Int) -> UInt64 { UInt64(page) * UInt64(Self.pageSize) }

    /// Returns the pages that contain a byte of a range.
    @inline(__always)
    func pages(touchedAt offset: UInt64, count: UInt64) -> Range<Int> {
        let pageSize = UInt64(Self.pageSize)
        return Int(offset / pageSize)..<Int((offset + count - 1) / pageSize + 1)
    }

    /// Returns the pages that lie wholly inside a range, which may be none. The last page of the
    /// disk counts as such if the range ends where the disk ends.
    func pages(inside offset: UInt64, count: UInt64) -> Range<Int> {
        let pageSize = UInt64(Self.pageSize)
        let first = Int((offset + pageSize - 1) / pageSize)
        let end = offset + count == size ? map.pageCount : Int((offset + count) / pageSize)
        return first < end ? first..<end : first..<first
    }
}
