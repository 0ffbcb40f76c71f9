// Which threads need the memory of a sparse disk's pages, and which take it away.
//
// On a sparse disk, touching a page without memory is answered with a signal when there is none left. So
// a writer makes sure that its pages have memory before it touches them, a reader that they have it
// until they are sent, and nobody may take it away meanwhile. A word for each run of a megabyte counts
// two kinds of threads: users, which write or send pages of the run, and takers, which give pages back
// to the kernel.
//
// - A user adds itself to the word. If the word had takers, the user sleeps until they are done: each
//   of them is in one call to the kernel about a megabyte at most.
// - A taker adds itself only to a word without users. It never waits, since a user may be waiting for
//   its client for as long as the client likes: the memory stays this time, and is zeroed by hand.
//
// Both are atomic changes of one word, so one of the two comes first and the other sees it.
//
// There are as many words as runs, however large the disk: requests about different megabytes never
// meet. The words are memory that takes up nothing until it is touched, and 8 bytes a megabyte then.
//
// A disk that has all its memory has nothing to take, and does not count here: see ``ZeroingRanges``.

internal import LinuxIO

/// The counts of one disk. Every method is safe from any thread.
struct PagePins: Sendable, BitwiseCopyable {
    private let words: AtomicWords
    /// The word behind those of the runs: the lock of the one thread that takes memory.
    private let provisioning: Int

    /// Pages that share a word: a megabyte.
    static var runLength: Int { 256 }
    /// The first page of the next run.
    static func endOfRun(with page: Int) -> Int { (page / runLength + 1) * runLength }

    /// Bytes of memory that the counts of a disk of so many pages need.
    static func byteCount(of pageCount: Int) -> Int { (runCount(of: pageCount) + 1) * 8 }
    private static func runCount(of pageCount: Int) -> Int {
        (pageCount + runLength - 1) / runLength
    }

    /// In the upper half of a word are the users, in the lower half the takers.
    private static var user: UInt64 { 1 << 32 }
    private static var takers: UInt64 { user - 1 }

    /// Counts in memory that is zero: nobody is there. The memory is the caller's to keep.
    init(pageCount: Int, memory: MemoryRegion) {
        precondition(memory.count >= Self.byteCount(of: pageCount))
        words = AtomicWords(memory)
        provisioning = Self.runCount(of: pageCount)
    }

    /// From when this returns until ``unpin(_:)``, nobody takes the memory of these pages away.
    @inline(__always)
    func pin(_ pages: Range<Int>) {
        for run in runs(pages) {
            if words.add(run, Self.user) & Self.takers != 0 { waitForTakers(run) }
        }
    }

    /// Their memory may go again.
    @inline(__always)
    func unpin(_ pages: Range<Int>) {
        for run in runs(pages) { words.add(run, 0 &- Self.user) }
    }

    /// Whether the memory of pages, which all lie in one run, may be taken away now. If so,
    /// ``endRelease(_:)`` has to follow, and soon.
    func tryBeginRelease(_ pages: Range<Int>) -> Bool {
        let run = pages.lowerBound / Self.runLength
        while true {
            let word = words.load(run)
            if word >= Self.user { return false }
            if words.replace(run, word, with: word + 1) { return true }
        }
    }

    /// It has been taken away.
    func endRelease(_ pages: Range<Int>) {
        let run = pages.lowerBound / Self.runLength
        // A thread that sleeps has counted itself as a user before it looked at the takers.
        if words.add(run, ~0) >= Self.user { words.wake(run, all: true) }
    }

    /// Waits until those who take memory of these pages away at this moment are done.
    func waitForTakers(of pages: Range<Int>) {
        for run in runs(pages) where words.load(run) & Self.takers != 0 {
            words.add(run, Self.user)
            waitForTakers(run)
            words.add(run, 0 &- Self.user)
        }
    }

    /// Sleeps until a run has no takers. The caller counts as a user, so new ones do not come.
    private func waitForTakers(_ run: Int) {
        while case let count = words.load(run) & Self.takers, count != 0 {
            words.sleep(run, while: UInt32(count))
        }
    }

    /// The runs that pages lie in.
    @inline(__always)
    private func runs(_ pages: Range<Int>) -> Range<Int> {
        pages.lowerBound / Self.runLength..<(pages.upperBound - 1) / Self.runLength + 1
    }

    // MARK: - Taking memory

    /// From when this returns until ``endProvisioning()``, no other thread takes memory: when the kernel
    /// fails to reserve a range, it takes back what others have reserved in it and not used yet.
    ///
    /// A thread that has to wait sleeps. It may have a higher priority than the one it waits for, which
    /// may in turn wait for memory to be freed. The word is 0 when nobody holds the lock, 1 when a thread
    /// does, 2 when others may be asleep as well.
    func beginProvisioning() {
        if words.replace(provisioning, 0, with: 1) { return }
        while words.exchange(provisioning, 2) != 0 { words.sleep(provisioning, while: 2) }
    }

    /// Others may take memory.
    func endProvisioning() {
        if words.exchange(provisioning, 0) == 2 { words.wake(provisioning, all: false) }
    }
}
