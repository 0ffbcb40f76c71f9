internal import LinuxIO
public import NBDProtocol
internal import SystemPackage

/// A RAM disk as a store, so that another store can build on one: add errors to it, delays, a log. The
/// server does not come here; it serves a ``RamDisk`` from its memory.
extension RamDisk: BlockStore {
    /// Copies the bytes from an offset on.
    public func read(
        at offset: UInt64, into buffer: inout MutableSpan<UInt8>
    ) throws(BlockStoreError) {
        try check(offset, buffer.count)
        try awaitContents(at: offset, count: UInt64(buffer.count))
        var pins: ReadPins
        do throws(Errno) {
            pins = try ReadPins(pages.pins)
        } catch {
            throw .noMemory()
        }
        var done = 0
        while done < buffer.count {
            let part = pages.readable(
                at: offset + UInt64(done), count: UInt64(buffer.count - done), pins: &pins)
            part.copy(to: &buffer, at: done)
            pins.unpinAll()
            done += part.count
        }
    }

    /// Copies bytes to the disk. On a sparse disk without memory for all of them none is written.
    public func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(BlockStoreError) {
        try check(offset, bytes.count)
        guard bytes.count > 0 else { return }
        let count = UInt64(bytes.count)
        try awaitContents(at: offset, count: count)
        let pages = changeablePages
        guard let target = pages.beginWrite(at: offset, count: count) else { throw .noSpace() }
        target.copy(from: bytes)
        pages.endWrite(at: offset, count: count)
    }

    /// Makes a range zero and, on a sparse disk, releases its whole pages.
    public func discard(_ range: Range<UInt64>) throws(BlockStoreError) {
        try zero(range, options: [])
    }

    /// Makes a range zero.
    public func zero(_ range: Range<UInt64>, options: ZeroOptions) throws(BlockStoreError) {
        let count = range.upperBound - range.lowerBound
        guard range.upperBound <= size else { throw .invalid("the range is not inside the disk") }
        guard count > 0 else { return }
        try awaitContents(at: range.lowerBound, count: count)
        let result = changeablePages.writeZeroes(
            at: range.lowerBound, count: count, keepSpace: options.contains(.keepsSpace))
        if result == .noMemory { throw .noSpace() }
    }

    /// Returns how far a range, from its start on, is either empty or may hold data.
    public func firstExtent(of range: Range<UInt64>) throws(BlockStoreError) -> Extent {
        try check(range)
        let (part, isPresent) = firstPart(of: range)
        let count = part.upperBound - part.lowerBound
        // Looking for holes would fetch the missing piece.
        guard isPresent else { return Extent(length: count, status: .data) }
        let extent = pages.allocation(at: part.lowerBound, count: count)
        return Extent(length: extent.count, status: extent.isEmpty ? .empty : .data)
    }

    /// Returns how far a range, from its start on, has the same `qemu:allocation-depth`.
    public func firstExtent(
        of range: Range<UInt64>, in context: MetadataContext
    ) throws(BlockStoreError) -> Extent {
        guard context == .allocationDepth else {
            throw .notSupported("a RAM disk does not know \(context.name)")
        }
        try check(range)
        let (part, isPresent) = firstPart(of: range)
        let count = part.upperBound - part.lowerBound
        return isPresent
            ? pages.depthExtent(at: part.lowerBound, count: count)
            : Extent(length: count, flags: 1)
    }

    private func check(_ range: Range<UInt64>) throws(BlockStoreError) {
        guard range.upperBound <= size, !range.isEmpty else {
            throw .invalid("the range is empty, or not inside the disk")
        }
    }

    private func check(_ offset: UInt64, _ count: Int) throws(BlockStoreError) {
        guard offset <= size, UInt64(count) <= size - offset else {
            throw .invalid("the range is not inside the disk")
        }
    }
}
