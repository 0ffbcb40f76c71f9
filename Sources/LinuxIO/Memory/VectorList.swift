public import CLinux

/// An ordered list of regions, for one vectored receive or send. It allocates once, when it is made;
/// appending and consuming allocate nothing.
@safe public struct VectorList: ~Copyable {
    /// The most regions that one system call takes. `IOV_MAX`
    public static let maximum = 1024

    /// The most regions that this list holds.
    public let capacity: Int
    @usableFromInline var bytesLeft = 0
    @usableFromInline let storage: UnsafeMutablePointer<iovec>
    @usableFromInline var first = 0
    @usableFromInline var end = 0

    /// Makes an empty list with room for `capacity` regions, at most ``maximum``.
    public init(capacity: Int) {
        precondition(capacity > 0 && capacity <= Self.maximum)
        self.capacity = capacity
        unsafe storage = .allocate(capacity: capacity)
    }

    deinit {
        unsafe storage.deallocate()
    }

    /// The number of regions that can still be appended.
    @inlinable public var room: Int { capacity &- end }

    /// Bytes that have not been consumed yet.
    @inlinable public var byteCount: Int { bytesLeft }

    /// Whether all bytes have been consumed.
    @inlinable public var isEmpty: Bool { bytesLeft == 0 }

    /// The number of regions that are left, the first of them perhaps in part.
    public var count: Int { end &- first }

    /// The region at an index from 0 up to ``count``; traps outside. It is valid as long as its owner lives.
    public subscript(index: Int) -> MemoryRegion {
        precondition(index >= 0 && index < count)
        // Sound: entries from first to end are initialized, and were regions when they were appended.
        let entry = unsafe storage[first &+ index]
        return unsafe MemoryRegion(base: entry.iov_base, count: entry.iov_len)
    }

    /// Appends a region; traps when the list is full.
    @inlinable @inline(__always)
    public mutating func append(_ region: MemoryRegion) {
        precondition(end < capacity)
        // Sound: the index is inside the storage; the region is valid as long as its owner lives.
        unsafe (storage + end).initialize(
            to: iovec(iov_base: region.base, iov_len: region.count))
        end &+= 1
        bytesLeft &+= region.count
    }

    /// Appends a region, or extends the last one when the region lies directly behind it. Traps when the list
    /// is full and the region does not.
    @inlinable @inline(__always)
    public mutating func extend(with region: MemoryRegion) {
        // Sound: the entry before the end is initialized.
        if end > first, unsafe storage[end &- 1].iov_base + storage[end &- 1].iov_len == region.base
        {
            // Written as a whole: the build for the thread sanitizer fails on a change of one field.
            let last = unsafe storage[end &- 1]
            unsafe storage[end &- 1] = iovec(
                iov_base: last.iov_base, iov_len: last.iov_len &+ region.count)
            bytesLeft &+= region.count
        } else {
            append(region)
        }
    }

    /// Removes the first `count` bytes, which have been sent or received. An empty list starts over, with all
    /// of its room.
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
        // Sound: bytes are left, so one of the entries before the end contains them.
        while unsafe left >= storage[first].iov_len {
            left &-= unsafe storage[first].iov_len
            first &+= 1
        }
        let entry = unsafe storage[first]
        unsafe storage[first] = iovec(
            iov_base: entry.iov_base + left, iov_len: entry.iov_len &- left)
    }
}
