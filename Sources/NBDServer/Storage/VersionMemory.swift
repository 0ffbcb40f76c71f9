internal import LinuxIO
internal import Synchronization
public import SystemPackage

/// The memory of a disk's ``PageVersions``, and the snapshots and markers that need it.
///
/// The memory is reserved with the disk, as connections carry its addresses, and takes up nothing before
/// the first snapshot: no page of it is touched until then, except for the slots.
final class VersionMemory: Sendable {
    let versions: PageVersions
    private let words: MemoryMapping
    private let arena: MemoryMapping
    private let arenaMemory: SharedMemory
    private let state: Mutex<State>
    /// The part of checkpoints that survives in the disk's backing; nil for a disk without one.
    private let checkpoints: BackingCheckpoints?
    /// The epoch that stands for the committed checkpoint in a backing that was found; nil if there is none.
    let foundEpoch: UInt64?

    private struct State {
        /// The last epoch that was begun.
        var last: UInt64 = 0
        /// The snapshots, oldest first.
        var snapshots: [UInt64] = []
        /// The number of owners of an epoch that only want changes to be recorded.
        var markers = 0
        /// Whether the backing is such an owner: it has a committed checkpoint, since which the next server needs to
        /// know the changes.
        var isNeededByBacking = false
        /// The epoch that began with the active bitmap of the backing; 0 for none.
        var bitmapEpoch: UInt64 = 0
        /// The largest number of bytes for versions; nil for a half of what is available.
        var limit: UInt64?
    }

    /// Reserves memory for a disk of `pageCount` pages. A clone, of which there may be thousands, gets less, so that
    /// the address space of the process does not run out.
    convenience init(
        pageCount: Int, isClone: Bool, checkpoints: BackingCheckpoints?
    ) throws(Errno) {
        // Enough for 64 snapshots all of whose pages have changed, or 16 of a clone. More than the machine has is never
        // needed.
        let available = (AvailableMemory.bytes ?? .max / 2) / DiskPages.pageSize
        let wanted = min(
            available, PageVersions.largestArena,
            pageCount.multipliedSaturating(by: isClone ? 16 : 64))
        do throws(Errno) {
            try self.init(
                pageCount: pageCount, arenaCount: max(1, wanted), checkpoints: checkpoints)
        } catch {
            // The process may have a limit for its address space. Only snapshots suffer from a small arena.
            try self.init(
                pageCount: pageCount, arenaCount: min(wanted, pageCount, Self.smallArena),
                checkpoints: checkpoints)
        }
    }

    private init(
        pageCount: Int, arenaCount: Int, checkpoints: BackingCheckpoints?
    ) throws(Errno) {
        words = try MemoryMapping(
            privateBytes: PageVersions.byteCount(pageCount: pageCount, arenaCount: arenaCount))
        arenaMemory = try SharedMemory(
            name: "ramdisk-snapshots", size: arenaCount * DiskPages.pageSize)
        arena = try MemoryMapping(arenaMemory)
        versions = PageVersions(pageCount: pageCount, words: words.region, arena: arena.region)
        self.checkpoints = checkpoints
        let isResumed = checkpoints?.names.committed != nil
        foundEpoch = isResumed ? 1 : nil
        state = Mutex(
            isResumed ? State(last: 1, markers: 1, isNeededByBacking: true) : State())
        if isResumed { resume() }
    }

    /// Sets the birth of every page that has changed since the committed checkpoint of the backing to the first epoch.
    /// No other thread uses the disk yet.
    private func resume() {
        checkpoints?.bitmaps.forEachDirty { page in
            var state = versions.lock(page)
            state.birth = 1
            versions.unlock(page, state)
        }
        versions.begin(epoch: 1, isSnapshot: false)
    }

    /// Pages of the arena where address space is short: 64 MiB.
    private static var smallArena: Int { 16_384 }

    /// Leaves the versions out of core dumps.
    func leaveOutOfDumps() { arena.leaveOutOfDumps() }

    /// Bytes of versions at present.
    var usedBytes: UInt64 { UInt64(versions.used * DiskPages.pageSize) }

    /// Bytes of memory that the kernel has given for them.
    var residentBytes: UInt64 { UInt64(arenaMemory.residentBytes) }

    /// The largest number of bytes of versions; nil for a half of what is available when a snapshot is taken.
    var limit: UInt64? {
        get { state.withLock { $0.limit } }
        set {
            state.withLock { state in
                state.limit = newValue
                setLimit(newValue)
            }
        }
    }

    private func setLimit(_ limit: UInt64?) {
        let pageSize = DiskPages.pageSize
        let bytes = limit ?? usedBytes + UInt64((AvailableMemory.bytes ?? .max / 4) / 2)
        versions.setLimit(Int(min(bytes / UInt64(pageSize), UInt64(versions.arenaCount))))
    }

    // MARK: - Snapshots

    /// Begins an epoch with a snapshot.
    ///
    /// - Parameters:
    ///   - isCheckpoint: whether the backing, if there is one, gets a bitmap of the changes since.
    ///   - pages: the disk, to preserve the pages that other threads are changing.
    func begin(isCheckpoint: Bool, _ pages: DiskPages) throws(SnapshotError) -> UInt64 {
        try state.withLock { (state) throws(SnapshotError) in
            // Before anything is changed: the kernel may not have the call.
            try Self.barrier()
            guard state.last < PageVersions.lastEpoch else { throw .noMoreEpochs }
            state.last += 1
            setLimit(state.limit)
            if isCheckpoint, let checkpoints {
                checkpoints.emptyOther()
                checkpoints.turn()
                state.bitmapEpoch = state.last
            }
            versions.begin(epoch: state.last, isSnapshot: true)
            try Self.barrier()
            versions.announced { pages.preserve($0) }
            state.snapshots.append(state.last)
            return state.last
        }
    }

    private static func barrier() throws(SnapshotError) {
        do throws(Errno) {
            try MemoryBarrier.everywhere()
        } catch {
            throw .noBarrier(error)
        }
    }

    /// Stores the names of checkpoints in the backing, if there is one.
    ///
    /// - Parameter epoch: that of the checkpoint which is the committed one from now on; nil when that has not changed.
    func store(_ names: CheckpointNames, committing epoch: UInt64?) {
        guard let checkpoints else { return }
        state.withLock { state in
            checkpoints.store(names)
            if names.committed != nil, !state.isNeededByBacking {
                state.isNeededByBacking = true
                state.markers += 1
            }
            // Otherwise the other bitmap may have changes since.
            if epoch == state.bitmapEpoch { checkpoints.clearOther() }
        }
    }

    /// Adds an owner to an epoch that a snapshot has begun.
    func retainMarker() { state.withLock { $0.markers += 1 } }

    /// Removes the owner of a marker.
    func releaseMarker() {
        state.withLock { state in
            state.markers -= 1
            if state.markers == 0, state.snapshots.isEmpty { versions.endEpochs() }
        }
    }

    /// Deletes a snapshot, and releases the versions that no other one needs.
    func delete(_ snapshot: UInt64) {
        state.withLock { state in
            state.snapshots.removeAll { $0 == snapshot }
            let newest = state.snapshots.last ?? 0
            // A snapshot that has lost pages needs no more versions.
            versions.setNewestSnapshot(newest > versions.newestLost ? newest : 0)
            if state.snapshots.isEmpty, state.markers == 0 { versions.endEpochs() }
            releaseVersions(snapshots: state.snapshots)
        }
    }

    private func releaseVersions(snapshots: [UInt64]) {
        var free: [Int] = []
        for page in 0..<versions.pageCount where versions.peek(page).newest != 0 {
            var state = versions.lock(page)
            state.newest = keepNeeded(state.newest, snapshots, &free)
            versions.unlock(page, state)
            if free.count >= Self.batchLength { release(&free) }
        }
        release(&free)
    }

    /// Versions that are released at once.
    private static var batchLength: Int { 1 << 16 }

    /// Removes the versions that no snapshot needs from a list, and returns its new head.
    private func keepNeeded(_ head: Int, _ snapshots: [UInt64], _ free: inout [Int]) -> Int {
        var kept: [Int] = []
        var version = head
        while version != 0 {
            let range = versions.birth(version)..<versions.last(version)
            let isNeeded = snapshots.contains { $0 > range.lowerBound && $0 <= range.upperBound }
            if isNeeded { kept.append(version) } else { free.append(version) }
            version = versions.older(version)
        }
        var older = 0
        for version in kept.reversed() {
            versions.set(version, older: older)
            older = version
        }
        return older
    }

    /// Returns the memory of versions to the kernel, and then the versions to the free list.
    private func release(_ free: inout [Int]) {
        let pageSize = DiskPages.pageSize
        free.sort()
        var index = 0
        while index < free.count, versions.hasBytes(free[index]) {
            let first = index
            while index < free.count, free[index] == free[first] + index - first,
                versions.hasBytes(free[index])
            { index += 1 }
            // A kernel that refuses keeps memory that the next version uses again.
            try? arenaMemory.handle.punchHole(
                offset: (free[first] - 1) * pageSize, count: (index - first) * pageSize)
        }
        versions.free(free)
        free.removeAll(keepingCapacity: true)
    }
}

extension Int {
    fileprivate func multipliedSaturating(by factor: Int) -> Int {
        let (product, overflows) = multipliedReportingOverflow(by: factor)
        return overflows ? .max : product
    }
}

/// The reason why a snapshot was not taken, or cannot be read. Its description is one sentence for people.
#if hasAttribute(nonexhaustive)
    @nonexhaustive
#endif
public enum SnapshotError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kernel does not allow membarrier(2).
    case noBarrier(Errno)
    /// 2^30 snapshots of the disk have been taken.
    case noMoreEpochs
    /// The memory for preserved pages was used up. In bytes.
    case outOfMemory(limit: UInt64)
    /// The disk is served before all of its contents are there, and some are missing.
    case contentsMissing
    /// The snapshot is of another disk.
    case otherDisk
    /// There is no memory for a copy of the snapshot.
    case noMemoryForCopy(RamDiskError)

    /// The problem, and what to do.
    public var description: String {
        switch self {
        case .noBarrier(let error):
            "snapshots need the system call membarrier, which this kernel or a filter of system calls refuses: \(error)"
        case .noMoreEpochs:
            "the disk has had as many snapshots as can be counted; start the server again"
        case .outOfMemory(let limit):
            "the snapshot is lost, since the memory for preserved pages (\(limit.bytesText)) was used up; "
                + "raise the limit of that memory, or delete snapshots sooner"
        case .contentsMissing:
            "the contents of the disk are not all there yet; try again when they are"
        case .otherDisk: "the snapshot is of another disk"
        case .noMemoryForCopy(let error): "cannot copy the snapshot: \(error)"
        }
    }
}
