internal import LinuxIO

/// The pages of a plain disk whose bits have been cleared and that may not be zero yet.
///
/// A thread that zeroes marked pages clears their bits first (``AllocationMap``). Until it is done,
/// a page with a 0 may still hold old data. A second thread that skips the page because of its 0
/// must not acknowledge its request before the page is zero: its client may read the page right
/// after the reply. So the first thread publishes its pages in a slot before it clears their bits,
/// and the second thread reads all slots after it has skipped pages.
///
/// ```
/// Thread Z zeroes marked pages:            Thread P skips unmarked pages:
/// 1. writes the pages into a free slot     a. reads the map, and skips a page with a 0
/// 2. clears their bits; fence              b. reads every slot
/// 3. zeroes the pages                      c. zeroes the pages that are in a slot and in its range
/// 4. empties the slot
/// ```
///
/// Suppose P reads a 0 in (a) because Z cleared the bit in (2). P's read acquires what Z's atomic
/// change released, so P sees the effect of (1) when it reads the slot in (b). Either the slot
/// still contains Z's pages, and P zeroes the page itself in (c). Or Z has emptied the slot in (4):
/// P's read acquires that, so the zeroes of (3) are in memory. If a third thread has taken the slot
/// by then, the same holds: it took the slot with an atomic change, which continues Z's release
/// sequence.
///
/// A slot contains at most 4 MiB of pages, all of which were marked. So P zeroes at most one such
/// piece for each other thread, and nothing where no thread is clearing bits: requests about
/// different pages, and requests about empty pages, do not affect each other.
///
/// Every method is safe to call from any thread.
struct ZeroingRanges: Sendable, BitwiseCopyable {
    private let words: AtomicWords

    /// Number of slots: threads that can zero at a time. A thread that finds none free leaves the
    /// bits set.
    private static var capacity: Int { 1024 }
    /// The largest number of pages in a slot: 4 MiB.
    static var longestPiece: Int { 1024 }
    /// Bytes of memory that the slots need.
    static var byteCount: Int { (1 + capacity) * 8 }

    /// Empty slots, in memory that is zero. The caller owns the memory, and keeps it as long as the
    /// slots are used.
    ///
    /// The first word is the highest slot that has ever been used, and no thread reads further.
    /// Then comes a word for each slot, which is 0 when the slot is empty.
    init(memory: MemoryRegion) {
        precondition(memory.count >= Self.byteCount)
        words = AtomicWords(memory)
    }

    /// Publishes pages, from 1 to ``longestPiece`` of them, before the caller clears their bits and
    /// zeroes them.
    ///
    /// Returns the slot, which the caller passes to ``end(_:)`` afterwards; nil if no slot is free,
    /// in which case the caller must not clear the bits.
    func begin(_ pages: Range<Int>) -> Int? {
        precondition(!pages.isEmpty && pages.count <= Self.longestPiece)
        for slot in 1...Self.capacity where words.load(slot) == 0 {
            guard words.replace(slot, 0, with: Self.packed(pages)) else { continue }
            if words.load(0) < UInt64(slot) { words.raise(0, to: UInt64(slot)) }
            return slot
        }
        return nil
    }

    /// Empties a slot, after its pages have been zeroed.
    func end(_ slot: Int) { words.store(slot, 0) }

    /// Highest slot that has ever been used; slots are counted from 1.
    var slotCount: Int { Int(words.load(0)) }

    /// Returns the pages in a slot that lie in `range`; nil if there are none.
    func pages(in slot: Int, within range: Range<Int>) -> Range<Int>? {
        let word = words.load(slot)
        guard word != 0 else { return nil }
        let start = Int(word >> Self.lengthBits)
        let length = Int(word & (1 << Self.lengthBits - 1))
        let pages = (start..<start + length).clamped(to: range)
        return pages.isEmpty ? nil : pages
    }

    /// Bits for the length, the lowest of a word. The first page of the largest disk fits above
    /// them.
    private static var lengthBits: UInt64 { 12 }
    private static func packed(_ pages: Range<Int>) -> UInt64 {
        UInt64(pages.lowerBound) << lengthBits | UInt64(pages.count)
    }
}
