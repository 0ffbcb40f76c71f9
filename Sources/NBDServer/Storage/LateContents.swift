internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// The source of the contents of a disk that is served before they are complete.
package protocol LateSource: Sendable {
    /// The approximate number of bytes of memory that all of the contents take on a sparse disk.
    var dataBytes: UInt64 { get }

    /// Copies a piece of the contents to a disk, with ``RamDisk/fill(_:at:)``, and returns how many of the
    /// ``dataBytes`` it was. Throws unless all of the piece was copied and checked.
    ///
    /// The disk has zeroes there, or bytes of a failed attempt. Any thread may call this, but only one at a time for a
    /// piece, and none after it has succeeded.
    func fetch(_ range: Range<UInt64>, to disk: RamDisk) throws(BlockStoreError) -> UInt64
}

/// The contents of a disk that is served before they are complete.
///
/// They come in pieces. The first thread that needs a missing piece fetches it, and other threads that need it wait.
/// Threads of connections fetch what their requests need; other threads fetch the rest. A failed attempt is an error
/// for the request, and the next request tries again.
///
/// While a piece is missing, connections use the disk through its methods as a ``BlockStore``, which fetch what they
/// need. The hot loop never checks for this: a connection enters it with its first request after the last piece
/// (``StoreSession/isOver``).
///
/// A fetch does not count as a change of the disk: snapshots and markers do not record it. So there are no snapshots
/// before the contents are complete.
package final class LateContents: Sendable {
    /// The number of bytes in a piece; the last one of a disk may be shorter. A piece is fetched as a whole, so smaller
    /// pieces would delay a small request less, and cost more calls: 1 MiB takes about 0.3 ms from the page cache.
    package static var pieceLength: UInt64 { 1 << 20 }

    private let size: UInt64
    private let memory: MemoryMapping
    /// The pieces that are present.
    private let present: AllocationMap
    /// A lock for each piece. The thread that fetches the piece holds it.
    private let locks: AtomicWords
    /// The number of missing pieces; 0 also before ``begin(with:)``.
    private let missing = Atomic<Int>(0)
    /// The source, until the contents are complete.
    private let source = Mutex<(any LateSource)?>(nil)

    /// Whether the disk is sparse, so that it takes memory only for data.
    private let isSparse: Bool
    /// Bytes of memory that the missing pieces will take. Other disks, and writes to this one, must leave that much free.
    private let promised = Atomic<Int>(0)
    var promisedBytes: Int { promised.load(ordering: .relaxed) }
    /// The sum over all disks of this process.
    private static let allPromised = Atomic<Int>(0)
    static var promisedBytes: Int { allPromised.load(ordering: .relaxed) }

    /// - Parameters:
    ///   - size: that of the disk in bytes.
    ///   - isSparse: whether the disk takes memory only for data.
    init(size: UInt64, isSparse: Bool) throws(Errno) {
        self.size = size
        self.isSparse = isSparse
        let count = Self.pieceCount(of: size)
        let mapBytes = AllocationMap.byteCount(of: count)
        memory = try MemoryMapping(privateBytes: mapBytes + count * 8)
        present = AllocationMap(pageCount: count, memory: memory.region)
        locks = AtomicWords(memory.region.suffix(from: mapBytes))
        if !isSparse { promise(size) }
    }

    deinit { keepPromise(of: .max) }

    private func promise(_ bytes: UInt64) {
        promised.add(Int(bytes), ordering: .relaxed)
        Self.allPromised.add(Int(bytes), ordering: .relaxed)
    }

    /// Counts that a number of the promised bytes were taken, or will not be any more.
    private func keepPromise(of bytes: Int) {
        var old = promisedBytes
        while true {
            let (isDone, found) = promised.weakCompareExchange(
                expected: old, desired: old - min(old, bytes), ordering: .relaxed)
            if isDone { break }
            old = found
        }
        Self.allPromised.subtract(min(old, bytes), ordering: .relaxed)
    }

    private static func pieceCount(of size: UInt64) -> Int {
        Int((size + pieceLength - 1) / pieceLength)
    }

    /// The number of pieces.
    package var pieceCount: Int { present.pageCount }

    /// Whether a piece is missing.
    package var isPending: Bool { missing.load(ordering: .acquiring) > 0 }

    /// Whether this piece is present.
    package func isPresent(_ piece: Int) -> Bool { present.isMarked(piece) }

    /// Sets the source of the contents. Call this once, before the disk is served, while it is blank.
    package func begin(with source: any LateSource) {
        self.source.withLock { $0 = source }
        if isSparse { promise(source.dataBytes) }
        missing.store(pieceCount, ordering: .releasing)
    }

    /// Fetches a piece unless it is present.
    package func fetch(_ piece: Int, to disk: RamDisk) throws(BlockStoreError) {
        if present.isMarked(piece) { return }
        locks.lock(piece)
        defer { locks.unlock(piece) }
        // Another thread may have fetched it while this one waited for the lock.
        if present.isMarked(piece) { return }
        guard let source = source.withLock({ $0 }) else {
            preconditionFailure("a piece is fetched before the contents have a source")
        }
        let start = UInt64(piece) * Self.pieceLength
        let range = start..<min(size, start + Self.pieceLength)
        try disk.takeMemory(of: range)
        let dataBytes = try source.fetch(range, to: disk)
        present.mark(piece..<piece + 1)
        keepPromise(of: isSparse ? Int(dataBytes) : range.count)
        if missing.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            self.source.withLock { $0 = nil }
            // The source's number is an estimate.
            keepPromise(of: .max)
        }
    }

    /// Fetches the missing pieces of a range.
    fileprivate func fetch(_ range: Range<UInt64>, to disk: RamDisk) throws(BlockStoreError) {
        for piece in pieces(of: range) { try fetch(piece, to: disk) }
    }

    /// Returns how far a range, from its start on, either is all there or is all missing, and which of the two.
    fileprivate func firstPart(
        of range: Range<UInt64>
    ) -> (range: Range<UInt64>, isPresent: Bool) {
        let pieces = pieces(of: range)
        let isPresent = present.isMarked(pieces.lowerBound)
        let end = present.first(
            marked: !isPresent, from: pieces.lowerBound + 1, limit: pieces.upperBound)
        let part = range.lowerBound..<min(range.upperBound, UInt64(end) * Self.pieceLength)
        return (part, isPresent)
    }

    private func pieces(of range: Range<UInt64>) -> Range<Int> {
        Int(range.lowerBound / Self.pieceLength)..<Int((range.upperBound - 1) / Self.pieceLength)
            + 1
    }
}

extension RamDisk {
    /// Makes an empty disk that is served before its contents are there: ``lateContents`` gets a source first.
    ///
    /// A plain one takes and locks its memory with each piece, since all of it at once takes long: 0.3 s for 4 GiB.
    package convenience init(
        filledLate size: UInt64, isSparse: Bool
    ) throws(RamDiskError) {
        let memory = try isSparse ? DiskMemory(sharedFor: size) : DiskMemory(privateFor: size)
        try self.init(memory, size: size, isSparse: isSparse, isFilledLate: true)
    }

    /// Whether the contents are not all there yet.
    package var isPending: Bool { lateContents?.isPending ?? false }

    /// Whether a sparse disk may take as many bytes of memory more; true for any other disk.
    package func hasRoom(for count: UInt64) -> Bool {
        guard isSparse, pages.memoryLimit < .max else { return true }
        return residentBytes + count <= UInt64(max(0, pages.memoryLimit))
    }

    /// The pages for changes by clients, who must leave a sparse disk the memory for what is missing.
    var changeablePages: DiskPages {
        guard isSparse, let lateContents, lateContents.isPending, pages.memoryLimit < .max else {
            return pages
        }
        var limited = pages
        limited.memoryLimit = max(0, pages.memoryLimit - lateContents.promisedBytes)
        return limited
    }

    /// Fetches what is missing in a range; to be called before bytes in it are read or changed.
    @inline(__always)
    func awaitContents(at offset: UInt64, count: UInt64) throws(BlockStoreError) {
        guard let lateContents, lateContents.isPending, count > 0 else { return }
        try lateContents.fetch(offset..<offset + count, to: self)
    }

    /// Returns how far a range, from its start on, either is all there or is all missing, and which of the two.
    func firstPart(
        of range: Range<UInt64>
    ) -> (range: Range<UInt64>, isPresent: Bool) {
        guard let lateContents, lateContents.isPending else { return (range, true) }
        return lateContents.firstPart(of: range)
    }

    /// Provisions the memory of a range of a plain disk.
    fileprivate func takeMemory(of range: Range<UInt64>) throws(BlockStoreError) {
        guard pages.shared == nil else { return }
        let touched = pages.pages(
            touchedAt: range.lowerBound, count: range.upperBound - range.lowerBound)
        do throws(Errno) {
            try pages.slice(
                at: pages.bytes(touched.lowerBound),
                count: UInt64(touched.count * DiskPages.pageSize)
            ).populate()
        } catch {
            throw BlockStoreError(error)
        }
    }
}
