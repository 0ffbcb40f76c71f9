// Which pages of a plain disk have lost their marks and are not zero yet.
//
// A thread that zeroes marked pages clears their marks first (``AllocationMap``). In between, an unmarked
// page may still hold old data, and a second thread with a request about the same page must not take it
// for zero: its client may read the page as soon as its request is acknowledged. So the first thread
// publishes the pages, in a slot, and the second looks at all slots after it has passed pages over.
//
//   Z, which zeroes:                      P, which passes unmarked pages over:
//   1. writes the pages into a free slot  a. reads the map; an unmarked page is passed over
//   2. clears the marks, fence            b. reads every slot
//   3. zeroes the pages                   c. zeroes by hand what lies in a slot and in its own range
//   4. empties the slot
//
// Suppose P finds a page unmarked in (a) because Z has cleared its mark in (2). P's read acquires what
// Z's atomic change released, so P sees (1) when it reads the slot in (b). Then either the slot still has
// Z's pages, and P zeroes the page itself; or Z has emptied it in (4), and P's read acquires that,
// so the zeroes of (3) are there. The slot may be another thread's by then: that thread took it with an
// atomic change, which goes on with what Z released.
//
// A slot holds a piece of a few MiB at most, of which every page was marked. So P zeroes by hand no more
// than one such piece for each other thread, and nothing at all where no mark is being cleared:
// requests about different pages, and requests about empty pages, do not meet here.

internal import LinuxIO

/// The slots of one disk. Every method is safe from any thread.
struct ZeroingRanges: Sendable, BitwiseCopyable {
    private let words: AtomicWords

    /// Threads that can zero at a time. One more leaves the marks where they are.
    private static var capacity: Int { 1024 }
    /// Most pages in a slot: 4 MiB.
    static var longestPiece: Int { 1024 }
    /// Bytes of memory that the slots need.
    static var byteCount: Int { (1 + capacity) * 8 }

    /// Slots that are empty, in memory that is zero. The memory is the caller's to keep.
    ///
    /// The first word is how many slots have ever been used: nobody has to look at more. Then comes a
    /// word for each slot, 0 when it is empty.
    init(memory: MemoryRegion) {
        precondition(memory.count >= Self.byteCount)
        words = AtomicWords(memory)
    }

    /// Publishes pages whose marks the caller clears and which it zeroes then; at least one page, and at
    /// most ``longestPiece``. Returns the slot, which has to be passed to ``end(_:)``; nil when none is
    /// empty: the marks must stay.
    func begin(_ pages: Range<Int>) -> Int? {
        precondition(!pages.isEmpty && pages.count <= Self.longestPiece)
        for slot in 1...Self.capacity where words.load(slot) == 0 {
            guard words.replace(slot, 0, with: Self.packed(pages)) else { continue }
            if words.load(0) < UInt64(slot) { words.raise(0, to: UInt64(slot)) }
            return slot
        }
        return nil
    }

    /// The pages are zero.
    func end(_ slot: Int) { words.store(slot, 0) }

    /// Slots that have ever been used; they are numbered from 1.
    var slotCount: Int { Int(words.load(0)) }

    /// The pages that a thread zeroes at this moment, as far as they lie in a range; nil when there are
    /// none.
    func pages(in slot: Int, within range: Range<Int>) -> Range<Int>? {
        let word = words.load(slot)
        guard word != 0 else { return nil }
        let start = Int(word >> Self.lengthBits)
        let length = Int(word & (1 << Self.lengthBits - 1))
        let pages = (start..<start + length).clamped(to: range)
        return pages.isEmpty ? nil : pages
    }

    /// The length takes the lower bits; the first page of the largest disk fits above them.
    private static var lengthBits: UInt64 { 12 }
    private static func packed(_ pages: Range<Int>) -> UInt64 {
        UInt64(pages.lowerBound) << lengthBits | UInt64(pages.count)
    }
}
