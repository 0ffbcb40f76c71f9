// What is done with a disk's pages: reading, writing, zeroing.

internal import LinuxIO
internal import SystemPackage

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

    /// Bytes in a page: the unit of the map, and what is given back. Where the kernel's own pages are
    /// larger it keeps the rest of one, and zeroes what it is told to give back; that is as good.
    static var pageSize: Int { 4096 }

    /// Pages that a disk of so many bytes has; the last may be needed in part.
    static func count(of size: UInt64) -> Int {
        Int((size + UInt64(pageSize) - 1) / UInt64(pageSize))
    }

    // MARK: - Reading

    /// The bytes of a range from its start on, as far as they lie in one piece.
    ///
    /// Empty pages of a sparse disk are answered from shared zeroes, so reading takes no memory.
    @inline(__always)
    func readable(at offset: UInt64, count: UInt64) -> MemoryRegion {
        if shared == nil { return slice(at: offset, count: count) }
        return readableSparse(at: offset, count: count)
    }

    private func readableSparse(at offset: UInt64, count: UInt64) -> MemoryRegion {
        let pages = pages(touchedAt: offset, count: count)
        let isData = map.isMarked(pages.lowerBound)
        let runEnd = map.first(marked: !isData, from: pages.lowerBound, limit: pages.upperBound)
        let runBytes = min(count, UInt64(runEnd) * UInt64(Self.pageSize) - offset)
        if isData { return slice(at: offset, count: runBytes) }
        return zeroes.slice(at: 0, count: min(Int(runBytes), zeroes.count))
    }

    // MARK: - Writing

    /// Where the bytes of a write go. They may move as soon as this has answered; then comes
    /// ``endWrite(at:count:)``.
    ///
    /// Nil when a sparse disk has got no memory for it; nothing has changed then.
    @inline(__always)
    func beginWrite(at offset: UInt64, count: UInt64) -> MemoryRegion? {
        let pages = pages(touchedAt: offset, count: count)
        if let shared, !provision(pages, from: shared) { return nil }
        map.mark(pages)
        return slice(at: offset, count: count)
    }

    /// The bytes of a write are in.
    @inline(__always)
    func endWrite(at offset: UInt64, count: UInt64) {
        map.markAgain(pages(touchedAt: offset, count: count))
    }

    // MARK: - Zeroing

    /// Makes every byte of a range zero, and gives its whole pages back if the disk is sparse.
    func trim(at offset: UInt64, count: UInt64) {
        let inside = pages(inside: offset, count: count)
        zeroEdges(of: offset, count: count, around: inside)
        guard !inside.isEmpty else { return }
        var page = map.first(marked: true, from: inside.lowerBound, limit: inside.upperBound)
        if let shared {
            guard page < inside.upperBound else { return }
            map.clear(inside)
            // Holes cannot fail to be made for want of memory; whatever else it is, zero by hand.
            if !punch(inside, out: shared) { slice(of: inside).zero() }
            return
        }
        while page < inside.upperBound {
            let end = map.first(marked: false, from: page, limit: inside.upperBound)
            map.clear(page..<end)
            slice(of: page..<end).zero()
            page = map.first(marked: true, from: end, limit: inside.upperBound)
        }
    }

    /// Makes every byte of a range zero. With `keepSpace` its pages stay, or become, provisioned:
    /// false when a sparse disk has got no memory for that, and nothing has changed then.
    func writeZeroes(at offset: UInt64, count: UInt64, keepSpace: Bool) -> Bool {
        guard keepSpace, let shared else {
            trim(at: offset, count: count)
            return true
        }
        let pages = pages(touchedAt: offset, count: count)
        guard provision(pages, from: shared) else { return false }
        // Pages that were empty are zero already; only what held data has to be overwritten.
        let end = offset + count
        var page = map.first(marked: true, from: pages.lowerBound, limit: pages.upperBound)
        while page < pages.upperBound {
            let runEnd = map.first(marked: false, from: page, limit: pages.upperBound)
            let from = max(offset, bytes(page))
            slice(at: from, count: min(end, bytes(runEnd)) - from).zero()
            page = map.first(marked: true, from: runEnd, limit: pages.upperBound)
        }
        map.mark(pages)
        map.markAgain(pages)
        return true
    }

    /// Zeroes the parts of a range that are less than a page, where they may hold data.
    private func zeroEdges(of offset: UInt64, count: UInt64, around inside: Range<Int>) {
        let end = offset + count
        if inside.isEmpty {
            // At most two pages, each touched in part.
            for page in pages(touchedAt: offset, count: count) where map.isMarked(page) {
                let from = max(offset, bytes(page))
                slice(at: from, count: min(end, bytes(page + 1)) - from).zero()
            }
            return
        }
        let insideStart = bytes(inside.lowerBound)
        if offset < insideStart, map.isMarked(inside.lowerBound - 1) {
            slice(at: offset, count: insideStart - offset).zero()
        }
        let insideEnd = bytes(inside.upperBound)
        if insideEnd < end, map.isMarked(inside.upperBound) {
            slice(at: insideEnd, count: end - insideEnd).zero()
        }
    }

    // MARK: - Pages

    /// Takes memory for those of the pages that have none yet; false when there is none left.
    private func provision(_ pages: Range<Int>, from shared: SharedMemoryHandle) -> Bool {
        let pageSize = Self.pageSize
        var page = map.first(marked: false, from: pages.lowerBound, limit: pages.upperBound)
        while page < pages.upperBound {
            let end = map.first(marked: true, from: page, limit: pages.upperBound)
            do throws(Errno) {
                try shared.provision(offset: page * pageSize, count: (end - page) * pageSize)
            } catch {
                return false
            }
            page = map.first(marked: false, from: end, limit: pages.upperBound)
        }
        return true
    }

    private func punch(_ pages: Range<Int>, out shared: SharedMemoryHandle) -> Bool {
        let pageSize = Self.pageSize
        do throws(Errno) {
            try shared.punch(offset: pages.lowerBound * pageSize, count: pages.count * pageSize)
            return true
        } catch {
            return false
        }
    }

    @inline(__always)
    private func slice(at offset: UInt64, count: UInt64) -> MemoryRegion {
        region.slice(at: Int(offset), count: Int(count))
    }

    private func slice(of pages: Range<Int>) -> MemoryRegion {
        let pageSize = Self.pageSize
        return region.slice(
            at: pages.lowerBound * pageSize, count: pages.count * pageSize)
    }

    private func bytes(_ page: Int) -> UInt64 { UInt64(page) * UInt64(Self.pageSize) }

    /// Pages that a range of at least one byte touches.
    @inline(__always)
    private func pages(touchedAt offset: UInt64, count: UInt64) -> Range<Int> {
        let pageSize = UInt64(Self.pageSize)
        return Int(offset / pageSize)..<Int((offset + count - 1) / pageSize + 1)
    }

    /// Pages that lie whole inside a range; the last page of the disk counts as whole when the range
    /// goes to the disk's end. Empty when there is none.
    private func pages(inside offset: UInt64, count: UInt64) -> Range<Int> {
        let pageSize = UInt64(Self.pageSize)
        let first = Int((offset + pageSize - 1) / pageSize)
        let end = offset + count == size ? map.pageCount : Int((offset + count) / pageSize)
        return first < end ? first..<end : first..<first
    }
}
