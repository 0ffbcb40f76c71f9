internal import NBDProtocol
internal import NBDServer

/// A snapshot with a dirty bitmap, which marks what has changed between an earlier instant and this one.
struct CheckpointStore: BlockStore {
    let snapshot: DiskSnapshot
    /// The earlier instant; nil marks everything dirty.
    let base: DiskSnapshot.Marker?
    /// The context of the bitmap.
    let bitmap: MetadataContext

    var size: UInt64 { snapshot.size }
    var contexts: [MetadataContext] { [.allocationDepth, bitmap] }

    func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) throws(BlockStoreError) {
        try snapshot.read(at: offset, into: &buffer)
    }

    func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(BlockStoreError) {
        try snapshot.write(bytes, at: offset)
    }

    func firstExtent(of range: Range<UInt64>) throws(BlockStoreError) -> Extent {
        try snapshot.firstExtent(of: range)
    }

    func firstExtent(
        of range: Range<UInt64>, in context: MetadataContext
    ) throws(BlockStoreError) -> Extent {
        guard context == bitmap else { return try snapshot.firstExtent(of: range, in: context) }
        guard let base else {
            return Extent(length: range.upperBound - range.lowerBound, isDirty: true)
        }
        let run = try snapshot.firstRun(of: range, since: base)
        return Extent(length: run.length, isDirty: run.isChanged)
    }
}
