// Which pages of a disk may hold data.
//
// One bit a page: 0 says "certainly zero", 1 says "may hold data". It is a hint over the truth,
// which is the memory: a 1 over zeroes costs a little, a 0 over data would lose it. What keeps the
// second from happening is an order that everybody follows:
//
// - A writer sets the bits before the bytes move, and looks again after: a bit that has been
//   cleared in between is set once more. A fence stands between the bytes and the second look, so
//   that the look cannot be done before the bytes are there.
// - A thread that zeroes whole pages clears their bits first, and zeroes then. Between the two a 0
//   promises too much. So it publishes the pages (``ZeroingRanges``), or on a sparse disk counts itself
//   (``PagePins``); a thread that has passed a page over because of a 0, and has to be sure, looks
//   there afterwards.
//
// Whichever way two of these meet, data that a finished write has left in a page has a 1 above it.

internal import LinuxIO
internal import Synchronization

/// The bits of one disk. Every method is safe from any thread.
struct AllocationMap: Sendable, BitwiseCopyable {
    /// Pages in the disk.
    let pageCount: Int
    private let words: AtomicWords

    /// A map over memory that is zero: every page is certainly zero. The memory is the caller's to
    /// keep. Fresh private memory takes up nothing until it is touched, so the map of a huge empty
    /// disk is no burden.
    init(pageCount: Int, memory: MemoryRegion) {
        precondition(memory.count >= Self.byteCount(of: pageCount))
        self.pageCount = pageCount
        words = AtomicWords(memory)
    }

    /// Bytes of memory that a map of so many pages needs.
    static func byteCount(of pageCount: Int) -> Int { (pageCount + 63) / 64 * 8 }

    /// Whether one page may hold data.
    @inline(__always)
    func isMarked(_ page: Int) -> Bool {
        words.load(page / 64) & bit(page) != 0
    }

    /// Says that pages may hold data.
    @inline(__always)
    func mark(_ pages: Range<Int>) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let next = min(pages.upperBound, (page / 64 + 1) * 64)
            let bits = mask(page..<next)
            // Most are there already, and reading does not take the cache line away from others.
            if words.load(page / 64) & bits != bits { words.set(page / 64, bits) }
            page = next
        }
    }

    /// The second look of who writes: the bytes are in, and their pages' bits are as they must be.
    @inline(__always)
    func markAgain(_ pages: Range<Int>) {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        mark(pages)
    }

    /// Says that pages are certainly zero, which the caller makes true right after.
    func clear(_ pages: Range<Int>) {
        var page = pages.lowerBound
        while page < pages.upperBound {
            let next = min(pages.upperBound, (page / 64 + 1) * 64)
            if words.load(page / 64) != 0 {
                words.clear(page / 64, mask(page..<next))
            }
            page = next
        }
        // The zeroes that follow must not be seen before the marks are gone.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// The first page at or after `page`, but before `limit`, that is marked or is not; `limit` when
    /// there is none.
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
