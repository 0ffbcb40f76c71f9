public import CLinux

/// Up to a fixed number of regions, in order, for one vectored receive or send. Made once; adding,
/// taking away and clearing allocate nothing.
@safe public struct VectorList: ~Copyable {
    /// Most regions one call may have. `IOV_MAX`
    public static let maximum = 1024

    /// Regions it has room for.
    public let capacity: Int
    @usableFromInline var bytesLeft = 0
    @usableFromInline let storage: UnsafeMutablePointer<iovec>
    @usableFromInline var first = 0
    @usableFromInline var end = 0

    /// An empty list with room for so many regions, at most ``maximum``.
    public init(capacity: Int) {
        precondition(capacity > 0 && capacity <= Self.maximum)
        self.capacity = capacity
        unsafe storage = .allocate(capacity: capacity)
    }

    deinit {
        unsafe storage.deallocate()
    }

    /// Regions for which there is room.
    @inlinable public var room: Int { capacity &- end }

    /// Bytes in all regions that have not been moved yet.
    @inlinable public var byteCount: Int { bytesLeft }

    /// Whether nothing is left to be moved.
    @inlinable public var isEmpty: Bool { bytesLeft == 0 }

    /// Regions that are left, the first of them perhaps in part.
    public var count: Int { end &- first }

    /// The region at an index from 0 to ``count``; traps outside. It lives as long as its owner.
    public subscript(index: Int) -> MemoryRegion {
        precondition(index >= 0 && index < count)
        // Sound: entries from first to end are initialized, and were regions when they were added.
        let entry = unsafe storage[first &+ index]
        return unsafe MemoryRegion(base: entry.iov_base, count: entry.iov_len)
    }

    /// Adds a region at the end; traps when the list is full.
    @inlinable @inline(__always)
    public mutating func append(_ region: MemoryRegion) {
        precondition(end < capacity)
        // Sound: the index is inside the storage; the region lives as long as its owner.
        unsafe (storage + end).initialize(
            to: iovec(iov_base: region.base, iov_len: region.count))
        end &+= 1
        bytesLeft &+= region.count
    }

    /// Adds a region that may lie right behind the last one: then it becomes part of that. Traps when
    /// the list is full and it does not.
    @inlinable @inline(__always)
    public mutating func extend(with region: MemoryRegion) {
        // Sound: the entry before the end is initialized.
        if end > first, unsafe storage[end &- 1].iov_base + storage[end &- 1].iov_len == region.base
        {
            // Written whole: the thread sanitizer's build breaks on a change of one field.
            let last = unsafe storage[end &- 1]
            unsafe storage[end &- 1] = iovec(
                iov_base: last.iov_base, iov_len: last.iov_len &+ region.count)
            bytesLeft &+= region.count
        } else {
            append(region)
        }
    }

    /// Takes away the first so many bytes, which have been moved; an empty list starts over.
    @inlinable
    public mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= bytesLeft)
        bytesLeft &-= count
        if bytesLeft == 0 {
            first = 0
            end = 0
            return
        }
        var left = count
        // Sound: bytes are left, so an entry with some of them comes before the end.
        while unsafe left >= storage[first].iov_len {
            left &-= unsafe storage[first].iov_len
            first &+= 1
        }
        let entry = unsafe storage[first]
        unsafe storage[first] = iovec(
            iov_base: entry.iov_base + left, iov_len: entry.iov_len &- left)
    }
}
