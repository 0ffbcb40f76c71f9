internal import LinuxIO

/// Two bitmaps in a backing with a bit for each page of the disk. A page is dirty if either has its bit.
///
/// Threads that change pages set bits in one of the two, the active one. ``BackingCheckpoints`` has the reasons.
///
/// Every method is safe to call from any thread.
struct DirtyBitmaps: Sendable, BitwiseCopyable {
    private let header: AtomicWords
    private let words: AtomicWords
    private let pageCount: Int
    /// Words of one bitmap.
    private let wordCount: Int

    /// The bitmaps in memory of ``byteCount(of:)`` bytes. The word of the header at
    /// ``BackingHeader/activeBitmapOffset`` says which one is active. The caller owns both, and keeps them as long as
    /// this value is used.
    init(pageCount: Int, header: MemoryRegion, memory: MemoryRegion) {
        self.header = AtomicWords(header)
        words = AtomicWords(memory)
        self.pageCount = pageCount
        wordCount = Self.wordCount(of: pageCount)
    }

    /// Bytes of both bitmaps.
    static func byteCount(of pageCount: Int) -> Int { 2 * 8 * wordCount(of: pageCount) }

    private static func wordCount(of pageCount: Int) -> Int { (pageCount + 63) / 64 }

    /// The first word of the bitmap that changes are marked in, and of the other one.
    private var active: Int { index &* wordCount }
    private var other: Int { (1 &- index) &* wordCount }
    private var index: Int { Int(header.load(BackingHeader.activeBitmapOffset / 8) & 1) }

    /// Sets the bit of a page in the active bitmap; a full barrier.
    func mark(_ page: Int) {
        words.set(active &+ page / 64, 1 &<< UInt64(page % 64))
    }

    /// Calls `body` with each page that is dirty.
    func forEachDirty(_ body: (Int) -> Void) {
        for word in 0..<wordCount {
            var bits = words.load(word) | words.load(wordCount + word)
            while bits != 0 {
                let page = word * 64 + bits.trailingZeroBitCount
                // No checksum covers the bitmaps: one that is damaged may have bits behind the last page.
                if page < pageCount { body(page) }
                bits &= bits - 1
            }
        }
    }

    /// Sets the bits of the other bitmap in the active one too. Other threads may mark pages meanwhile.
    func mergeOther() {
        let (active, other) = (active, other)
        for word in 0..<wordCount {
            let bits = words.load(other + word)
            if bits != 0 { words.set(active + word, bits) }
        }
    }

    /// Clears the other bitmap.
    func clearOther() {
        let other = other
        for word in other..<other + wordCount where words.loadRelaxed(word) != 0 {
            words.store(word, 0)
        }
    }

    /// Makes the other bitmap the active one; a full barrier.
    func turn() {
        _ = header.exchange(BackingHeader.activeBitmapOffset / 8, UInt64(1 - index))
    }
}
