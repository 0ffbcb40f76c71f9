internal import LinuxIO
internal import SystemPackage

/// A run of a disk's bytes.
struct DiskExtent: Sendable, BitwiseCopyable {
    /// In bytes; at least one.
    var count: UInt64
    /// Whether it is certainly zero; otherwise it may hold data.
    var isEmpty: Bool
}

/// The pages of a disk, as the hot loop uses them: a handful of numbers, which nobody has to count
/// references to. They are ``RamDisk``'s, and of use as long as it lives.
///
/// Every method is safe from any thread. Offsets and counts are in bytes; callers have checked that
/// they lie inside the disk (``NBDProtocol/RequestRules``), and that there is at least one byte. A
/// mistake there is a trap here, not a stray byte.
struct DiskPages: Sendable, BitwiseCopyable {
    let size: UInt64
    /// Where a sparse disk takes its memory from, and gives it back to; nil for a disk that has all of
    /// it from the start.
    let shared: SharedMemoryHandle?
    /// All bytes of the disk, up to the end of the last page.
    let region: MemoryRegion
    /// What empty pages of a sparse disk are read from.
    let zeroes: MemoryRegion
    let map: AllocationMap
    /// Which threads use pages of a sparse disk, and which give them back.
    let claims: PagePins
    /// Which pages of a plain disk are being zeroed.
    let zeroing: ZeroingRanges
    /// Bytes of memory that a sparse disk takes at most.
    let mostMemory: Int

    /// Bytes in a page: the unit of the map, and what is given back. Where the kernel's own pages are
    /// larger it keeps the rest of one, and zeroes what it is told to give back; that is as good.
    static var pageSize: Int { 4096 }

    /// Pages that a disk of so many bytes has; the last may be needed in part.
    static func count(of size: UInt64) -> Int {
        Int((size + UInt64(pageSize) - 1) / UInt64(pageSize))
    }

    // MARK: - Reading

    /// The bytes of a range from its start on, as far as they lie in one piece. They are there until the
    /// claims are released.
    ///
    /// Empty pages of a sparse disk are answered from shared zeroes, so reading takes no memory.
    @inline(__always)
    func readable(
        at offset: UInt64, count: UInt64, claims: inout ReadPins
    ) -> MemoryRegion {
        if shared == nil { return slice(at: offset, count: count) }
        return readableSparse(at: offset, count: count, claims: &claims)
    }

    private func readableSparse(
        at offset: UInt64, count: UInt64, claims: inout ReadPins
    ) -> MemoryRegion {
        let extent = extentToRead(at: offset, count: count, claims: &claims)
        guard extent.isEmpty else { return data(at: offset, count: extent.count) }
        return zeroes.slice(at: 0, count: min(Int(extent.count), zeroes.count))
    }

    /// How far a range, from its start on, is either empty or may hold data; its data is there until the
    /// claims are released.
    @inline(__always)
    func extentToRead(
        at offset: UInt64, count: UInt64, claims: inout ReadPins
    ) -> DiskExtent {
        let extent = extent(at: offset, count: count)
        if shared == nil || extent.isEmpty { return extent }
        return claim(at: offset, count: extent.count, claims: &claims)
    }

    /// Claims a range for a reader, and looks at it once more: until then its memory could be taken away.
    private func claim(
        at offset: UInt64, count: UInt64, claims: inout ReadPins
    ) -> DiskExtent {
        let pages = pages(touchedAt: offset, count: count)
        self.claims.pin(pages)
        let extent = extent(at: offset, count: count)
        if extent.isEmpty { self.claims.unpin(pages) } else { claims.keep(pages) }
        return extent
    }

    /// How far a range, from its start on, is either empty or may hold data.
    func extent(at offset: UInt64, count: UInt64) -> DiskExtent {
        let pages = pages(touchedAt: offset, count: count)
        let isMarked = map.isMarked(pages.lowerBound)
        // From the next page on: this one's mark may be another by now.
        let end = map.first(marked: !isMarked, from: pages.lowerBound + 1, limit: pages.upperBound)
        return DiskExtent(count: min(count, bytes(end) - offset), isEmpty: !isMarked)
    }

    /// The bytes of a range that lies in one extent with data.
    @inline(__always)
    func data(at offset: UInt64, count: UInt64) -> MemoryRegion {
        slice(at: offset, count: count)
    }

    // MARK: - Writing

    /// Where the bytes of a write go. They may move as soon as this has answered; then comes
    /// ``endWrite(at:count:)``.
    ///
    /// Nil when a sparse disk has got no memory for it; no byte has changed then.
    @inline(__always)
    func beginWrite(at offset: UInt64, count: UInt64) -> MemoryRegion? {
        let pages = pages(touchedAt: offset, count: count)
        if let shared {
            claims.pin(pages)
            guard provision(pages, from: shared) else {
                claims.unpin(pages)
                return nil
            }
        }
        map.mark(pages)
        return slice(at: offset, count: count)
    }

    /// The bytes of a write are in, or will not come any more; once for each ``beginWrite(at:count:)``
    /// that has answered with a place for them.
    @inline(__always)
    func endWrite(at offset: UInt64, count: UInt64) {
        let pages = pages(touchedAt: offset, count: count)
        map.markAgain(pages)
        if shared != nil { claims.unpin(pages) }
    }

    // MARK: - Pages

    /// Takes memory for those of the pages that have none yet; false when there is none left.
    func provision(_ pages: Range<Int>, from shared: SharedMemoryHandle) -> Bool {
        let pageSize = Self.pageSize
        var page = map.first(marked: false, from: pages.lowerBound, limit: pages.upperBound)
        if page == pages.upperBound { return true }
        claims.beginProvisioning()
        defer { claims.endProvisioning() }
        // Another may have taken memory for it until now.
        page = map.first(marked: false, from: page, limit: pages.upperBound)
        while page < pages.upperBound {
            let end = map.first(marked: true, from: page + 1, limit: pages.upperBound)
            guard shared.residentBytes <= mostMemory &- (end - page) * pageSize else {
                return false
            }
            do throws(Errno) {
                try shared.provision(offset: page * pageSize, count: (end - page) * pageSize)
            } catch {
                return false
            }
            // At once, so that a trim finds them should a later run get no memory.
            map.mark(page..<end)
            page = map.first(marked: false, from: end, limit: pages.upperBound)
        }
        return true
    }

    @inline(__always)
    func slice(at offset: UInt64, count: UInt64) -> MemoryRegion {
        region.slice(at: Int(offset), count: Int(count))
    }

    func bytes(_ page: Int) -> UInt64 { UInt64(page) * UInt64(Self.pageSize) }

    /// Pages that a range of at least one byte touches.
    @inline(__always)
    func pages(touchedAt offset: UInt64, count: UInt64) -> Range<Int> {
        let pageSize = UInt64(Self.pageSize)
        return Int(offset / pageSize)..<Int((offset + count - 1) / pageSize + 1)
    }

    /// Pages that lie whole inside a range; the last page of the disk counts as whole when the range
    /// goes to the disk's end. Empty when there is none.
    func pages(inside offset: UInt64, count: UInt64) -> Range<Int> {
        let pageSize = UInt64(Self.pageSize)
        let first = Int((offset + pageSize - 1) / pageSize)
        let end = offset + count == size ? map.pageCount : Int((offset + count) / pageSize)
        return first < end ? first..<end : first..<first
    }
}
