internal import NBDProtocol

/// A disk's pages as metadata contexts report them.
extension DiskPages {
    /// The contexts of a RAM disk, in the order of their indices.
    static var contexts: [MetadataContext] { [.allocation, .allocationDepth] }

    /// Returns the extent at the start of a range in one of the ``contexts``.
    @inline(__always)
    func extent(at offset: UInt64, count: UInt64, in context: Int) -> Extent {
        if context != 0 { return depthExtent(at: offset, count: count) }
        let extent = allocation(at: offset, count: count)
        return Extent(length: extent.count, status: extent.isEmpty ? .empty : .data)
    }

    /// Returns the extent at the start of a range in `qemu:allocation-depth`: 1 for pages that may hold data, 2 for
    /// pages of a clone that show data of its template, 0 for empty ones.
    func depthExtent(at offset: UInt64, count: UInt64) -> Extent {
        let extent = extent(at: offset, count: count)
        let depth: UInt32 =
            switch extent.source {
            case .disk: 1
            case .template: 2
            case .none: 0
            }
        return Extent(length: extent.count, flags: depth)
    }
}
