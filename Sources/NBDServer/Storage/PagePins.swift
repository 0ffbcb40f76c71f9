internal import LinuxIO
internal import SystemPackage

/// Counts of the threads that need the memory of a sparse disk's pages, and of those that release
/// it.
///
/// On a sparse disk, touching a page without memory raises SIGBUS when the machine has none left.
/// So a writer makes sure that its pages have memory before it touches them, a reader makes sure
/// that they keep it until its reply is sent, and no thread may release that memory in between.
///
/// The disk is divided into runs of 1 MiB. Each run has one 64-bit word. The upper half of the word
/// counts pins: one for each write in progress and each reply that waits to be sent from the run.
/// The lower half counts releasers: threads that are returning pages of the run to the kernel.
///
/// - A reader or writer calls ``pin(_:)``, which adds a pin to each run that the request touches.
///   If the word had releasers at that moment, the thread sleeps until they are done. Each of them
///   is in one system call about at most 1 MiB, so the wait is short.
/// - A trim calls ``tryBeginRelease(_:)``, which adds a releaser only to a run without pins. It
///   never waits for a pin, because the thread that holds it may wait for its client for as long as
///   the client likes. If the run is pinned, the trim zeroes the pages in place, and they keep
///   their memory until they are trimmed again.
///
/// Both are atomic changes of one word, so one comes first and the other thread sees it: either the
/// trim sees the pin and does not release, or the pinning thread sees the releaser and waits for
/// it.
///
/// The number of words grows with the disk, so requests about different megabytes never share one.
/// The words take up no memory until they are touched, and 8 bytes for each MiB then.
///
/// A plain disk has all its memory from the start and never releases any. It does not use these
/// counts; ``ZeroingRanges`` has their role there.
///
/// Every method is safe to call from any thread.
struct PagePins: Sendable, BitwiseCopyable {
    private let words: AtomicWords
    /// The lock of the disk's memory, in the words after those of the runs.
    private let memoryLock: FairLock

    /// Pages that share a word: 1 MiB.
    static var runLength: Int { 256 }
    /// Returns the first page of the run after the one that contains `page`.
    static func endOfRun(with page: Int) -> Int { (page / runLength + 1) * runLength }

    /// Returns the bytes of memory that the counts of a disk with `pageCount` pages need.
    static func byteCount(of pageCount: Int) -> Int {
        runCount(of: pageCount) * 8 + FairLock.byteCount
    }
    private static func runCount(of pageCount: Int) -> Int {
        (pageCount + runLength - 1) / runLength
    }

    /// One pin, in the upper half of a word.
    private static var onePin: UInt64 { 1 << 32 }
    /// The bits of a word that count releasers: the lower half.
    private static var releaserBits: UInt64 { onePin - 1 }

    /// Counts without pins and releasers, in memory that is zero. The caller owns the memory, and
    /// keeps it as long as the counts are used.
    init(pageCount: Int, memory: MemoryRegion) {
        precondition(memory.count >= Self.byteCount(of: pageCount))
        words = AtomicWords(memory)
        memoryLock = FairLock(words, at: Self.runCount(of: pageCount))
    }

    // MARK: - Pinning

    /// Pins pages: no thread releases their memory until the matching ``unpin(_:)``.
    ///
    /// Sleeps while other threads are releasing memory in the same runs.
    @inline(__always)
    func pin(_ pages: Range<Int>) {
        for run in runs(of: pages) {
            if words.add(run, Self.onePin) & Self.releaserBits != 0 { waitForReleasers(run) }
        }
    }

    /// Unpins pages that ``pin(_:)`` has pinned.
    @inline(__always)
    func unpin(_ pages: Range<Int>) {
        for run in runs(of: pages) { words.add(run, 0 &- Self.onePin) }
    }

    // MARK: - Releasing

    /// Registers this thread as a releaser of pages, which all lie in one run. Returns false,
    /// without waiting, if the run is pinned.
    ///
    /// After true, the thread must call ``endRelease(_:)``, and soon: other threads may be waiting
    /// in ``pin(_:)``. So it takes the lock of ``beginProvisioning()`` before.
    func tryBeginRelease(_ pages: Range<Int>) -> Bool {
        let run = pages.lowerBound / Self.runLength
        while true {
            let word = words.load(run)
            if word >= Self.onePin { return false }
            if words.replace(run, word, with: word + 1) { return true }
        }
    }

    /// Ends what ``tryBeginRelease(_:)`` began, and wakes the threads that wait for it.
    func endRelease(_ pages: Range<Int>) {
        let run = pages.lowerBound / Self.runLength
        // A waiting thread adds its pin before it reads the releasers, so this sees the pin.
        if words.add(run, ~0) >= Self.onePin { words.wake(run, all: true) }
    }

    /// Waits for the threads that are releasing memory of these pages at the time of the call.
    func waitForReleasers(of pages: Range<Int>) {
        for run in runs(of: pages) where words.load(run) & Self.releaserBits != 0 {
            words.add(run, Self.onePin)
            waitForReleasers(run)
            words.add(run, 0 &- Self.onePin)
        }
    }

    /// Sleeps until a run has no releasers. The caller holds a pin, so no new ones are added.
    private func waitForReleasers(_ run: Int) {
        while case let count = words.load(run) & Self.releaserBits, count != 0 {
            words.sleep(run, while: UInt32(count))
        }
    }

    /// The runs that contain pages of a range.
    @inline(__always)
    private func runs(of pages: Range<Int>) -> Range<Int> {
        pages.lowerBound / Self.runLength..<(pages.upperBound - 1) / Self.runLength + 1
    }

    // MARK: - Provisioning

    /// Takes the lock of the disk's memory, until ``endProvisioning()``. A thread holds it while it is in a system call
    /// that gives the disk memory or takes some away, for at most one run.
    ///
    /// Provisioning needs it because fallocate(2), when it cannot reserve a whole range, also releases the pages in it
    /// that another thread has reserved and not written yet. Releasing needs it because the kernel admits one
    /// fallocate(2) of a file at a time: a releaser that waited there for other threads' calls would keep the readers
    /// of its run waiting, too. So a thread becomes a releaser after it has the lock, and a reader waits for one call.
    func beginProvisioning() { memoryLock.lock() }

    /// Releases the lock of the disk's memory, and wakes one thread that waits for it.
    func endProvisioning() { memoryLock.unlock() }
}

/// The pins of one connection's replies that wait to be sent.
///
/// Each keeps the memory of its pages until the connection's thread has sent the replies and calls
/// ``unpinAll()``. Reads of a plain disk add none.
struct ReadPins: ~Copyable {
    /// The largest number of pins at a time: one for each region of data in a batch.
    private static var capacity: Int { VectorList.maximum }

    private let pins: PagePins
    private let memory: MemoryMapping
    /// Two words for each pin: its first page and the end of its pages. Untouched words take up no
    /// memory.
    private let words: AtomicWords
    private var count = 0

    /// An empty set of pins on a disk.
    init(_ pins: PagePins) throws(Errno) {
        self.pins = pins
        memory = try MemoryMapping(privateBytes: Self.capacity * 16)
        words = AtomicWords(memory.region)
    }

    deinit { unpinEach() }

    /// Adds pages that the caller has pinned; from now on this value unpins them. Traps when there
    /// are more pins than a batch can have.
    mutating func add(_ pages: Range<Int>) {
        words.storeRelaxed(2 &* count, UInt64(pages.lowerBound))
        words.storeRelaxed(2 &* count &+ 1, UInt64(pages.upperBound))
        count &+= 1
    }

    /// Unpins all pages; to be called after the replies have been sent.
    @inline(__always)
    mutating func unpinAll() {
        if count > 0 {
            unpinEach()
            count = 0
        }
    }

    private func unpinEach() {
        for index in 0..<count {
            pins.unpin(Int(words.loadRelaxed(2 &* index))..<Int(words.loadRelaxed(2 &* index &+ 1)))
        }
    }
}
