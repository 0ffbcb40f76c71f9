internal import LinuxIO
internal import Synchronization

/// The part of a disk's checkpoints that survives in its backing when the server is killed: their names, and which
/// pages have changed since the last committed one.
///
/// ## Why no page that has changed is clean after a kill
///
/// While the server runs, ``PageVersions`` knows the changes by births. The bitmaps are for the next server alone,
/// which finds a page dirty if its bit is set in either. A thread that changes a page sets its bit in the active
/// bitmap before the page's birth lets any thread change its bytes. The rest is the order of steps. After each step, at
/// least the pages that must be dirty are dirty:
///
/// - **create** adds the bits of the other bitmap to the active one; clears the other one, which makes it the
///   checkpoint's own; makes that the active one; and begins the epoch (``PageVersions/begin(epoch:isSnapshot:)``).
///   Pages that change from now on have their bits in the checkpoint's own bitmap.
/// - **commit** stores the names: the base is the new checkpoint, and too many pages are dirty. Then it clears the other
///   bitmap, which has the changes before the checkpoint.
/// - **abort** has no step: the base is the same, and a page is dirty if either bitmap has its bit.
///
/// A thread that has read the old epoch and then marks a page in the new active bitmap marks one page too many, which
/// does no harm. One that has read the new epoch also sees the new active bitmap, as that was stored first.
///
/// The names are in two slots. The one that is not in use is written, and then one word is stored that says which
/// one is, so a kill leaves the old names or the new ones.
final class BackingCheckpoints: Sendable {
    /// The bitmaps, for threads that change pages.
    let bitmaps: DirtyBitmaps
    private let header: MemoryRegion
    private let current: Mutex<CheckpointNames>
    /// Called after each step, where a kill may come. Only tests set it.
    let afterStep = Mutex<(@Sendable () -> Void)?>(nil)

    /// The checkpoints in a mapping of a backing's header and bitmaps, whose owner keeps this object no longer than
    /// the mapping. The names are those in the header.
    init(in mapped: MemoryRegion, _ layout: BackingHeader, names: CheckpointNames) {
        let pageCount = DiskPages.count(of: layout.size)
        header = mapped.slice(at: 0, count: BackingHeader.byteCount)
        current = Mutex(names)
        bitmaps = DirtyBitmaps(
            pageCount: pageCount, header: header,
            memory: mapped.slice(
                at: BackingHeader.byteCount, count: DirtyBitmaps.byteCount(of: pageCount)))
    }

    /// The names of the checkpoints, which the next server will find.
    var names: CheckpointNames { current.withLock { $0 } }

    /// Empties the bitmap that is not active, without loss of a bit.
    func emptyOther() {
        bitmaps.mergeOther()
        step()
        bitmaps.clearOther()
        step()
    }

    /// Makes the other bitmap the active one.
    func turn() {
        bitmaps.turn()
        step()
    }

    /// Clears the bitmap that is not active.
    func clearOther() {
        bitmaps.clearOther()
        step()
    }

    /// Stores names.
    func store(_ names: CheckpointNames) {
        current.withLock { current in
            let words = AtomicWords(header)
            let slot: UInt64 = words.load(BackingHeader.namesOffset / 8) == 1 ? 2 : 1
            header.slice(at: Self.offset(of: slot), count: CheckpointNames.byteCount)
                .copy(from: names.encoded)
            step()
            // A full barrier, so that what follows is not done before.
            _ = words.exchange(BackingHeader.namesOffset / 8, slot)
            current = names
            step()
        }
    }

    /// Decodes the names in a header.
    static func names(in header: [UInt8]) throws(BackingHeader.HeaderError) -> CheckpointNames {
        guard header.count == BackingHeader.byteCount else { throw .damaged }
        let slot = BackingHeader.word(header, BackingHeader.namesOffset)
        guard slot != 0 else { return CheckpointNames() }
        guard slot <= 2 else { throw .damaged }
        let start = offset(of: slot)
        return try CheckpointNames(decoding: header[start..<start + CheckpointNames.byteCount])
    }

    /// The offset of a slot of names, 1 or 2, in the header.
    private static func offset(of slot: UInt64) -> Int { 1024 * Int(slot) }

    private func step() { afterStep.withLock { $0 }?() }
}
