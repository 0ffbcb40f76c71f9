internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// A bitmap of the pages of one disk: 0 means "certainly zero", 1 means "may hold data".
///
/// The memory is the truth, and the map is a hint about it. A 1 for a page of zeroes costs a little
/// time. A 0 for a page with data would lose the data. Two rules, which all threads follow, prevent
/// that:
///
/// - A writer sets the bits of its pages before it moves the bytes (``mark(_:)``), and checks them
///   again afterwards (``markAgain(_:)``): a bit that another thread has cleared in between is set
///   again. A fence separates the bytes from the second check, so that the check is not performed
///   before the bytes are in memory.
/// - A thread that zeroes whole pages clears their bits first (``clear(_:)``), and zeroes the pages
///   then. A fence separates the two.
///
/// Suppose a writer and a zeroing thread meet in one page. If the writer's second check sees the
/// cleared bit, it sets it again. If not, then the bit is cleared, and so the page is zeroed, after
/// the writer's bytes were in memory, and the 0 is right. In either order, a page that holds data
/// after a finished write has a 1.
///
/// Between clearing a bit and zeroing the page, the 0 is premature. A zeroing thread therefore
/// announces its pages before it clears their bits: in ``ZeroingRanges`` on a plain disk, as a
/// releaser in ``PagePins`` on a sparse one. A thread that has skipped a page because of its 0, and
/// must be sure that the page is zero, looks there afterwards.
///
/// An operation reads each bit once and remembers it: another thread may change the bit between two
/// reads.
///
/// Every method is safe to call from any thread.
struct AllocationMap: Sendable, BitwiseCopyable {
    /// Pages in the disk.
    let pageCount: Int
    private let words: AtomicWords

    /// A map in which every page is certainly zero, in memory that is zero. The caller owns the
    /// memory, and keeps it as long as the map is used. Fresh private memory takes up nothing until
    /// it is touched, so even the map of a huge empty disk is small.
    init(pageCount: Int, memory: MemoryRegion) {
        precondition(memory.count >= Self.byteCount(of: pageCount))
        self.pageCount = pageCount
        words = AtomicWords(memory)
    }

    /// Returns the bytes of memory that a map of `pageCount` pages needs.
    static func byteCount(of pageCount: Int) -> Int { (pageCount + 63) / 64 * 8 }

    /// Returns whether a page may hold data.
    @inline(__always)
    func isMarked(_ page: Int) -> Bool {
        words.load(page / 64) & bit(page) != 0
    }

    /// Returns the marks of 64 pages, the lowest bit that of the first.
    func word(_ index: Int) -> UInt64 { words.load(index) }

    /// Marks pages: they may hold data. A writer calls this before it moves the bytes.
    @inline(__always)
    func mark(_ pages: Range<Int>) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let next = min(pages.upperBound, (page / 64 + 1) * 64)
            let bits = mask(page..<next)
            // Most bits are set already. Reading first keeps the cache line shared between
            // processors.
            if words.load(page / 64) & bits != bits { words.set(page / 64, bits) }
            page = next
        }
    }

    /// Marks pages again where another thread has cleared their bits. A writer calls this after it
    /// has moved the bytes.
    @inline(__always)
    func markAgain(_ pages: Range<Int>) {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        mark(pages)
    }

    /// Clears the bits of pages that the caller is about to make zero.
    func clear(_ pages: Range<Int>) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let next = min(pages.upperBound, (page / 64 + 1) * 64)
            if words.load(page / 64) != 0 {
                words.clear(page / 64, mask(page..<next))
            }
            page = next
        }
        // The caller's zeroes must not become visible before the cleared bits.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// Returns the first page in `page..<limit` whose mark is `marked`; `limit` if there is none.
    func first(marked: Bool, from page: Int, limit: Int) -> Int {
        var page = page
        while page < limit {
            let word = marked ? words.load(page / 64) : ~words.load(page / 64)
            let ahead = word >> UInt64(page % 64)
            if ahead != 0 { return min(limit, page + ahead.trailingZeroBitCount) }
            page = (page / 64 + 1) * 64
        }
        return limit
    }

    private func bit(_ page: Int) -> UInt64 { 1 << UInt64(page % 64) }

    /// The bits of pages that lie in one word.
    private func mask(_ pages: Range<Int>) -> UInt64 {
        let ones: UInt64 = pages.count == 64 ? ~0 : (1 << UInt64(pages.count)) - 1
        return ones << UInt64(pages.lowerBound % 64)
    }
}

// MARK: - Rebuilding

extension AllocationMap {
    /// Marks the pages that the file system reports as written; for memory with holes. The time it
    /// takes depends on the number of runs, not on the size.
    ///
    /// Throws when the file system does not report holes.
    func markWritten(of memory: borrowing SharedMemory) throws(Errno) {
        let pageSize = DiskPages.pageSize
        var offset = 0
        while let run = try memory.nextData(from: offset) {
            mark(run.lowerBound / pageSize..<min(pageCount, (run.upperBound - 1) / pageSize + 1))
            offset = run.upperBound
        }
    }

    /// Marks the pages that are not zero; for memory without holes. Reads all of it, on all
    /// processors.
    func markNonzero(in region: MemoryRegion) {
        inShares(of: pageCount, minimum: DiskMemory.pagesPerThread) { pages in
            markNonzero(pages, in: region)
        }
    }

    private func markNonzero(_ pages: Range<Int>, in region: MemoryRegion) {
        let pageSize = DiskPages.pageSize
        for page in pages where !region.slice(at: page * pageSize, count: pageSize).isZero {
            mark(page..<page + 1)
        }
    }
}
