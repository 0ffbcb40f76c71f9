// Who needs the memory of a disk's pages to be there, and who takes it away or zeroes it.
//
// On a sparse disk, touching a page without memory is answered with a signal when there is none left. So
// a writer makes sure that its pages have memory before it touches them, a reader that they have it
// until they are sent, and nobody may take it away meanwhile. A lock would do; this is less: a word for
// each megabyte counts those who use pages there and those who take memory away there.
//
// - Who uses pages counts itself, and only then looks whether somebody takes away: for that it waits, a
//   call to the kernel about a megabyte at most.
// - Who takes away counts itself too, but does not wait: a user may be waiting for its client for as
//   long as that likes. If there is one, the memory stays this time, and is zeroed by hand instead.
//
// One atomic addition does both, the counting and the looking, so never do both go ahead.
//
// On a disk that has all its memory there is nothing to take, and nobody uses. There the same words
// count who is zeroing: see ``AllocationMap``.

internal import LinuxIO

/// The counts of one disk. Every method is safe from any thread.
struct PageClaims: Sendable, BitwiseCopyable {
    private let words: AtomicWords

    /// Pages that share a word, a megabyte; more than one such run does when the disk is large.
    static var runLength: Int { 256 }
    /// The first page of the next run.
    static func endOfRun(with page: Int) -> Int { (page / runLength + 1) * runLength }
    private static var wordCount: Int { 1024 }
    /// The word behind them: who takes memory.
    private static var provisioning: Int { wordCount }
    /// Bytes of memory that it needs.
    static var byteCount: Int { (wordCount + 1) * 8 }

    /// In the upper half of a word are those who use pages, in the lower those who take away or zero.
    private static var user: UInt64 { 1 << 32 }
    private static var takers: UInt64 { user - 1 }

    /// Counts in memory that is zero: nobody is there. The memory is the caller's to keep.
    init(memory: MemoryRegion) {
        precondition(memory.count >= Self.byteCount)
        words = AtomicWords(memory)
    }

    /// From when this is back until ``endUsing(_:)``, nobody takes the memory of these pages away.
    @inline(__always)
    func beginUsing(_ pages: Range<Int>) {
        for index in indices(pages) {
            let before = words.add(index % Self.wordCount, Self.user)
            if before & Self.takers != 0 { waitForTakers(index) }
        }
    }

    /// Their memory may go again.
    @inline(__always)
    func endUsing(_ pages: Range<Int>) { count(0 &- Self.user, in: pages) }

    /// Whether the memory of pages, which all lie in one run, may be taken away now. If so,
    /// ``endTaking(_:)`` has to follow, and soon.
    func beginTaking(_ pages: Range<Int>) -> Bool {
        let index = pages.lowerBound / Self.runLength
        if words.add(index % Self.wordCount, 1) < Self.user { return true }
        words.add(index % Self.wordCount, ~0)
        return false
    }

    /// It has been taken away.
    func endTaking(_ pages: Range<Int>) {
        words.add(pages.lowerBound / Self.runLength % Self.wordCount, ~0)
    }

    /// Waits until those who take memory of these pages away at this moment are done.
    func waitForTakers(of pages: Range<Int>) {
        for index in indices(pages) { waitForTakers(index) }
    }

    private func waitForTakers(_ index: Int) {
        while words.load(index % Self.wordCount) & Self.takers != 0 { Processor.yield() }
    }

    // MARK: - Taking memory

    /// From when this is back until ``endProvisioning()``, nobody else takes memory. The kernel lets only
    /// one do so at a time as well; but one that fails takes back what others have got and not used yet.
    func beginProvisioning() {
        while words.add(Self.provisioning, 1) != 0 {
            words.add(Self.provisioning, ~0)
            Processor.yield()
        }
    }

    /// Others may take memory.
    func endProvisioning() { words.add(Self.provisioning, ~0) }

    // MARK: - Zeroing

    /// Somebody begins to clear marks of these pages and to zero what is under them.
    func beginZeroing(_ pages: Range<Int>) { count(1, in: pages) }

    /// The zeroes are there.
    func endZeroing(_ pages: Range<Int>) { count(~0, in: pages) }

    /// Whether somebody else zeroes in the run that a page lies in, asked by one who does.
    func isZeroedElsewhere(_ page: Int) -> Bool {
        words.load(page / Self.runLength % Self.wordCount) > 1
    }

    /// Adds to the words of all runs that pages lie in.
    @inline(__always)
    private func count(_ number: UInt64, in pages: Range<Int>) {
        for index in indices(pages) { words.add(index % Self.wordCount, number) }
    }

    /// The runs that pages lie in; when they are more than there are words, each word once.
    @inline(__always)
    private func indices(_ pages: Range<Int>) -> Range<Int> {
        let first = pages.lowerBound / Self.runLength
        let end = (pages.upperBound - 1) / Self.runLength + 1
        return first..<min(end, first + Self.wordCount)
    }
}
