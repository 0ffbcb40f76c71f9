internal import LinuxIO
internal import SystemPackage

/// The epoch of each page's changes, and the old bytes of the pages that a snapshot shows.
///
/// Time is divided into epochs, counted from 1. A snapshot begins one. Each page has a word with its
/// birth: the epoch in which its bytes were first changed, so a page with birth `b` has had its bytes
/// since some moment in epoch `b`, and belongs to every later snapshot `s > b`. Before a thread changes a
/// page that was born in an earlier epoch than the present one, it preserves the page: it copies the bytes
/// to a version if a snapshot shows them, and sets the birth to the present epoch. Later changes in this
/// epoch find the birth and do nothing.
///
/// Without a snapshot, a marker or a checkpoint the epoch is 0, and a change costs a store, a load and one branch.
///
/// ## Why a snapshot never shows a later change
///
/// Thread W changes pages, and thread S takes a snapshot. They do not wait for each other:
///
/// ```
/// W: 1. announces its pages in its slot     S: a. sets the epoch
///    2. compiler fence                          b. barrier in every thread (membarrier(2))
///    3. reads the epoch; preserves pages        c. reads every slot, and preserves the pages in it
///    4. changes the bytes
///    5. empties its slot
/// ```
///
/// If W reads the new epoch in (3), W preserves the pages before it changes them. If it reads the old one,
/// then (3) came before the barrier (b) in W, and so did (1): S finds W's pages in (c) and preserves them,
/// unless W has emptied its slot. In that case W had ended its change, and all of it is in the snapshot. A
/// change that is found in (c) is in progress: the snapshot shows any mixture of its old and new bytes, but
/// always the same one, since the page has a version from then on. W may take as long as its client likes.
///
/// If two threads want to preserve a page, one waits until the other has copied the 4 KiB: the word of the
/// page contains a lock.
///
/// ## Versions
///
/// A version belongs to the snapshots from its birth (exclusive) to the epoch in which it was made
/// (inclusive). The versions of a page are a list, newest first, whose head is in the page's word. A
/// version is a record of two words and, unless the page was empty, a page of the arena. The record says whether the
/// bytes were those of a template.
///
/// Every method is safe to call from any thread.
struct PageVersions: Sendable, BitwiseCopyable {
    /// Pages in the disk.
    let pageCount: Int
    /// Pages of the arena, so versions that have bytes. Their numbers are 1 to this.
    let arenaCount: Int
    /// Versions without bytes, of pages that were empty. Their numbers follow.
    private let emptyCount: Int
    /// The bytes of versions.
    let arena: MemoryRegion
    private let control: AtomicWords
    private let slots: AtomicWords
    private let pages: AtomicWords
    private let records: AtomicWords

    /// Memory for a disk of `pageCount` pages: `words` for all but the bytes, in memory that is zero.
    ///
    /// The caller owns both, and keeps them as long as this value is used. Untouched memory takes up nothing.
    init(pageCount: Int, words: MemoryRegion, arena: MemoryRegion) {
        self.pageCount = pageCount
        self.arena = arena
        arenaCount = arena.count / DiskPages.pageSize
        emptyCount = Self.emptyCount(pageCount: pageCount, arenaCount: arenaCount)
        var offset = 0
        func take(_ count: Int) -> AtomicWords {
            defer { offset += count * 8 }
            return AtomicWords(words.slice(at: offset, count: count * 8))
        }
        control = take(Control.count)
        slots = take(Self.slotCount * Self.slotLength)
        pages = take(pageCount)
        records = take(2 * (1 + arenaCount + emptyCount))
    }

    /// A placeholder for a connection that serves no disk, which never uses it.
    init(unusedIn memory: MemoryRegion) {
        pageCount = 0
        arenaCount = 0
        emptyCount = 0
        arena = memory.slice(at: 0, count: 0)
        control = AtomicWords(memory)
        (slots, pages, records) = (control, control, control)
    }

    /// Bytes of `words` that a disk needs.
    static func byteCount(pageCount: Int, arenaCount: Int) -> Int {
        let versions = arenaCount + emptyCount(pageCount: pageCount, arenaCount: arenaCount)
        return 8 * (Control.count + slotCount * slotLength + pageCount + 2 * (1 + versions))
    }

    /// Versions of empty pages: 16 of each page, which is enough for as many snapshots of a disk that is all zeroes
    /// in each and is written and trimmed in between. With a small arena, where address space is short, fewer.
    private static func emptyCount(pageCount: Int, arenaCount: Int) -> Int {
        min(largestArena, arenaCount >= pageCount ? pageCount * 16 : pageCount)
    }

    /// The largest number of versions of each kind: a version's number has 32 bits.
    static var largestArena: Int { 1 << 31 - 1 }

    /// The indices of the words that are not about one page.
    private enum Control {
        /// The present epoch; 0 when changes are not recorded.
        static var epoch: Int { 0 }
        /// The newest snapshot; 0 when there is none.
        static var newestSnapshot: Int { 1 }
        /// The newest snapshot that has lost pages because there was no memory for a version; 0 when none has.
        static var newestLost: Int { 2 }
        /// Slots that have ever been used.
        static var slotEnd: Int { 3 }
        /// The lock of the words that follow.
        static var lock: Int { 8 }
        /// The last record with bytes, and the last without, that has ever been used.
        static var lastWithBytes: Int { 9 }
        static var lastWithoutBytes: Int { 10 }
        /// The lists of free records.
        static var freeWithBytes: Int { 11 }
        static var freeWithoutBytes: Int { 12 }
        /// Versions that have bytes now, and how many there may be.
        static var used: Int { 13 }
        static var limit: Int { 14 }
        static var count: Int { 16 }
    }

    /// The state of a page.
    struct Page: Sendable, BitwiseCopyable {
        /// The number of its newest version; 0 when it has none.
        var newest: Int
        /// The epoch in which its bytes were first changed; 0 when they never were while epochs were counted.
        var birth: UInt64

        /// The lower half of a word has the birth and two bits for the lock, as futex(2) compares that half.
        fileprivate static var lock: UInt64 { 1 << 31 }
        fileprivate static var sleepers: UInt64 { 1 << 30 }

        @inline(__always)
        fileprivate init(_ word: UInt64) {
            newest = Int(word >> 32)
            birth = word & PageVersions.lastEpoch
        }
        fileprivate var word: UInt64 { UInt64(newest) << 32 | birth }
    }

    /// The last epoch that can be counted. One each second takes 34 years.
    static var lastEpoch: UInt64 { 1 << 30 - 1 }

    // MARK: - Slots

    /// Slots for connections, which keep theirs, and behind them those for a single change. Each has a cache
    /// line of its own: whether it is taken, and the pages that are being changed.
    private static var slotCount: Int { ownedSlotCount + 1024 }
    private static var ownedSlotCount: Int { 16_384 }
    private static var slotLength: Int { 8 }

    /// Takes a slot for a connection; nil when there are too many.
    fileprivate func takeSlot() -> Int? {
        for slot in 0..<Self.ownedSlotCount where slots.load(slot * Self.slotLength) == 0 {
            guard slots.replace(slot * Self.slotLength, 0, with: 1) else { continue }
            control.raise(Control.slotEnd, to: UInt64(slot + 1))
            return slot
        }
        return nil
    }

    /// Releases a slot.
    fileprivate func releaseSlot(_ slot: Int) {
        slots.store(slot * Self.slotLength + 1, 0)
        slots.store(slot * Self.slotLength, 0)
    }

    /// Announces a change of pages. Returns true if the caller must preserve them before it changes them.
    @inline(__always)
    func announce(_ pages: Range<Int>, in slot: Int) -> Bool {
        if slot < 0 { return announceOnce(pages) }
        slots.storeRelaxed(slot &* Self.slotLength &+ 1, Self.packed(pages))
        MemoryBarrier.compilerFence()
        return control.load(Control.epoch) != 0
    }

    /// Announces the end of a change.
    @inline(__always)
    func conclude(_ pages: Range<Int>, in slot: Int) {
        if slot < 0 { return concludeOnce(pages) }
        slots.store(slot &* Self.slotLength &+ 1, 0)
    }

    /// Announces a change of a thread that has no slot. Connections have one, so the hot loop does not come here.
    @_semantics("no_performance_analysis")
    private func announceOnce(_ pages: Range<Int>) -> Bool {
        precondition(pages.count <= Self.longestChange, "one change of more than 4 GiB")
        while true {
            for slot in Self.ownedSlotCount..<Self.slotCount {
                let word = slot * Self.slotLength + 1
                guard slots.load(word) == 0, slots.replace(word, 0, with: Self.packed(pages))
                else { continue }
                return control.load(Control.epoch) != 0
            }
            // 1024 threads of this process are in the middle of a change.
            Thread.sleep(milliseconds: 1)
        }
    }

    /// Empties a slot that contains exactly these pages. If two threads change the same pages, it does not
    /// matter whose slot each of them empties.
    private func concludeOnce(_ pages: Range<Int>) {
        for slot in Self.ownedSlotCount..<Self.slotCount {
            let word = slot * Self.slotLength + 1
            if slots.replace(word, Self.packed(pages), with: 0) { return }
        }
    }

    /// The pages that are being changed now.
    func announced(_ body: (Range<Int>) -> Void) {
        let end = Int(control.load(Control.slotEnd))
        for owned in [0..<end, Self.ownedSlotCount..<Self.slotCount] {
            for slot in owned {
                let word = slots.load(slot * Self.slotLength + 1)
                if word != 0 { body(Self.unpacked(word)) }
            }
        }
    }

    /// A range of pages as one word. A request changes 64 MiB at most, and no process can map 2^44 pages.
    private static var lengthBits: UInt64 { 20 }
    @inline(__always)
    private static func packed(_ pages: Range<Int>) -> UInt64 {
        UInt64(pages.lowerBound) << lengthBits | UInt64(pages.count)
    }
    private static func unpacked(_ word: UInt64) -> Range<Int> {
        let first = Int(word >> lengthBits)
        return first..<first + Int(word & (1 << lengthBits - 1))
    }
    /// The largest number of pages in an announcement: 4 GiB.
    private static var longestChange: Int { 1 << 20 - 1 }

    // MARK: - Epochs

    /// The present epoch; 0 when changes are not recorded.
    var epoch: UInt64 { control.load(Control.epoch) }
    /// The newest snapshot; 0 when there is none.
    var newestSnapshot: UInt64 { control.load(Control.newestSnapshot) }
    /// The newest snapshot that has lost pages; 0 when none has.
    var newestLost: UInt64 { control.load(Control.newestLost) }

    /// Begins an epoch: step (a). Without a snapshot, changes are recorded and no page is preserved. The caller
    /// continues with (b) and (c).
    func begin(epoch: UInt64, isSnapshot: Bool) {
        // A thread that sees the epoch also sees the snapshot.
        if isSnapshot { control.store(Control.newestSnapshot, epoch) }
        control.store(Control.epoch, epoch)
    }

    /// Ends the counting of epochs, when nothing needs it any more.
    func endEpochs() { control.store(Control.epoch, 0) }

    /// Sets the newest snapshot, after a newer one was deleted; 0 for none.
    func setNewestSnapshot(_ epoch: UInt64) { control.store(Control.newestSnapshot, epoch) }

    /// Gives up every snapshot, as there is no memory for a version.
    func loseSnapshots(_ newest: UInt64) {
        control.raise(Control.newestLost, to: newest)
        // This keeps threads from making more versions. A newer snapshot is taken after this one was lost.
        _ = control.replace(Control.newestSnapshot, newest, with: 0)
    }

    // MARK: - Pages

    /// Whether a page needs no preserving in this epoch, nor does any thread preserve it now.
    @inline(__always)
    func isCurrent(_ page: Int, in epoch: UInt64) -> Bool {
        let word = pages.load(page) & 0xffff_ffff
        return word >= epoch && word <= Self.lastEpoch
    }

    /// Returns the state of a page, which may change at any time.
    func peek(_ page: Int) -> Page { Page(pages.load(page)) }

    /// Locks a page against being preserved, read through a snapshot, or losing a version.
    func lock(_ page: Int) -> Page {
        while true {
            let word = pages.load(page)
            if word & Page.lock == 0 {
                if pages.replace(page, word, with: word | Page.lock) { return Page(word) }
            } else if word & Page.sleepers != 0
                || pages.replace(page, word, with: word | Page.sleepers)
            {
                pages.sleep(page, while: UInt32(truncatingIfNeeded: word | Page.sleepers))
            }
        }
    }

    /// Unlocks a page, and gives it a state.
    func unlock(_ page: Int, _ state: Page) {
        if pages.exchange(page, state.word) & Page.sleepers != 0 { pages.wake(page, all: true) }
    }

    // MARK: - Versions

    /// Returns whether a version has bytes; otherwise it is a page of zeroes.
    func hasBytes(_ version: Int) -> Bool { version <= arenaCount }

    /// Returns the bytes of a version that has some.
    func bytes(_ version: Int) -> MemoryRegion {
        arena.slice(at: (version - 1) * DiskPages.pageSize, count: DiskPages.pageSize)
    }

    /// Returns the next older version of the same page; 0 when there is none.
    func older(_ version: Int) -> Int { Int(records.load(2 * version) & 0xffff_ffff) }
    /// Returns the last epoch whose snapshot the version belongs to.
    func last(_ version: Int) -> UInt64 { records.load(2 * version) >> 32 }
    /// Returns the birth of a version.
    func birth(_ version: Int) -> UInt64 { records.load(2 * version + 1) & Self.lastEpoch }
    /// Returns whether the page showed the template of a clone.
    func showsTemplate(_ version: Int) -> Bool {
        records.load(2 * version + 1) & Self.templateBit != 0
    }
    private static var templateBit: UInt64 { 1 << 63 }

    /// Fills the record of a version; the caller has locked its page.
    func set(
        _ version: Int, last: UInt64, birth: UInt64, showsTemplate: Bool = false, older: Int
    ) {
        records.store(2 * version, last << 32 | UInt64(older))
        records.store(2 * version + 1, birth | (showsTemplate ? Self.templateBit : 0))
    }

    /// Replaces the next older version of the same page; the caller has locked the page.
    func set(_ version: Int, older: Int) {
        records.store(2 * version, last(version) << 32 | UInt64(older))
    }

    /// Returns the version of a locked page that a snapshot shows; 0 when it has lost the page.
    func version(of page: Page, at snapshot: UInt64) -> Int {
        var found = 0
        var version = page.newest
        while version != 0, last(version) >= snapshot {
            found = version
            version = older(version)
        }
        return found != 0 && birth(found) < snapshot ? found : 0
    }

    /// Takes a version; nil when there is no memory for one.
    func allocate(withBytes: Bool) -> Int? {
        control.lock(Control.lock)
        defer { control.unlock(Control.lock) }
        if withBytes {
            let used = control.loadRelaxed(Control.used)
            guard used < control.load(Control.limit) else { return nil }
            control.store(Control.used, used + 1)
        }
        let list = withBytes ? Control.freeWithBytes : Control.freeWithoutBytes
        let free = Int(control.loadRelaxed(list))
        if free != 0 {
            control.storeRelaxed(list, UInt64(older(free)))
            return free
        }
        let last = withBytes ? Control.lastWithBytes : Control.lastWithoutBytes
        let count = control.loadRelaxed(last)
        guard count < UInt64(withBytes ? arenaCount : emptyCount) else { return nil }
        control.storeRelaxed(last, count + 1)
        return (withBytes ? 0 : arenaCount) + Int(count) + 1
    }

    /// Puts versions that no page refers to back on the free lists. The caller has released the memory of their bytes.
    func free(_ versions: [Int]) {
        control.lock(Control.lock)
        defer { control.unlock(Control.lock) }
        for version in versions {
            let list = hasBytes(version) ? Control.freeWithBytes : Control.freeWithoutBytes
            set(version, last: 0, birth: 0, older: Int(control.loadRelaxed(list)))
            control.storeRelaxed(list, UInt64(version))
            if hasBytes(version) {
                control.store(Control.used, control.loadRelaxed(Control.used) - 1)
            }
        }
    }

    /// The number of versions that have bytes now.
    var used: Int { Int(control.load(Control.used)) }
    /// Sets how many versions may have bytes.
    func setLimit(_ count: Int) { control.store(Control.limit, UInt64(count)) }
}

/// The slot in which a connection announces its changes.
struct ChangeSlot: ~Copyable {
    /// The number of the slot, for ``DiskPages/slot``.
    let index: Int
    private let versions: PageVersions

    /// Takes a slot. Throws when 16,384 connections have one.
    init(_ versions: PageVersions) throws(Errno) {
        guard let slot = versions.takeSlot() else { throw .noMemory }
        index = slot
        self.versions = versions
    }

    deinit { versions.releaseSlot(index) }
}
