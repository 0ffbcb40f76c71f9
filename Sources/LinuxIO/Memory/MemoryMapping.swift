internal import CLinux
internal import Glibc
public import SystemPackage

/// Pages of memory that stay mapped as long as this value lives.
public struct MemoryMapping: ~Copyable, Sendable {
    /// The mapped bytes. Valid as long as the mapping lives.
    public let region: MemoryRegion

    /// Bytes in the huge pages of x86 and ARM. Shared mappings begin at a multiple of it, so that huge
    /// pages fit.
    public static var largePageSize: Int { 2 << 20 }

    /// Maps all of a shared memory object, at a multiple of ``largePageSize``. mmap(2)
    public init(_ memory: borrowing SharedMemory) throws(Errno) {
        try self.init(memory.descriptor, offset: memory.offset, count: memory.size)
    }

    /// Maps the first bytes of a file, which must not be shorter. mmap(2)
    public init(startOf file: borrowing MemoryFile, count: Int) throws(Errno) {
        try self.init(file.descriptor, offset: 0, count: count)
    }

    private init(
        _ descriptor: borrowing Descriptor, offset: Int, count: Int
    ) throws(Errno) {
        var error: CInt = 0
        let base = unsafe clinux_map_shared(
            descriptor.rawValue, off_t(offset), count, Self.largePageSize, &error)
        guard let base = unsafe base else { throw Errno(rawValue: error) }
        unsafe region = MemoryRegion(base: base, count: count)
    }

    /// Maps private memory that reads as zeroes and has no pages until it is written. mmap(2)
    public init(privateBytes count: Int, writable: Bool = true) throws(Errno) {
        var error: CInt = 0
        guard let base = unsafe clinux_map_private(count, writable ? 1 : 0, &error)
        else { throw Errno(rawValue: error) }
        unsafe region = MemoryRegion(base: base, count: count)
    }

    /// Maps private memory from the machine's pool of reserved huge pages. The count is a multiple of
    /// ``ReservedPages/size``. mmap(2), `MAP_HUGETLB`
    ///
    /// - Throws: `noMemory` when the pool has too few pages.
    public init(reservedBytes count: Int) throws(Errno) {
        var error: CInt = 0
        guard let base = unsafe clinux_map_reserved(count, &error)
        else { throw Errno(rawValue: error) }
        unsafe region = MemoryRegion(base: base, count: count)
    }

    deinit {
        let length = Self.unmappedAtOnce(of: region.count)
        var done = 0
        while done < region.count {
            let piece = min(length, region.count - done)
            guard unsafe munmap(region.base + done, piece) == 0 else { break }
            done += piece
        }
        // The kernel refuses to unmap a part of a huge page.
        if done < region.count { unsafe munmap(region.base + done, region.count - done) }
    }

    /// The length, in bytes, of the pieces in which a mapping of `count` bytes is unmapped. Meanwhile the kernel lets
    /// no thread of the process map memory, so the server cannot accept a client; before Linux 6.4 no thread can touch
    /// a page for the first time, either. One call for 1 GiB of small pages took 64 to 130 ms (two processors, other
    /// programs ran), and one for 16 MiB takes a sixty-fourth of that. There are at most 1024 pieces, since a very
    /// large mapping is mostly empty.
    static func unmappedAtOnce(of count: Int) -> Int {
        max(16 << 20, (count / 1024 + largePageSize - 1) / largePageSize * largePageSize)
    }

    /// Requests transparent huge pages, which the kernel may decline to provide. They need fewer page
    /// table entries, so there are fewer TLB misses. madvise(2), `MADV_HUGEPAGE`
    public func preferHugePages() {
        _ = unsafe clinux_prefer_huge_pages(region.base, region.count)
    }

    /// Declines transparent huge pages, of which each takes all of its 2 MiB at the first touch. madvise(2),
    /// `MADV_NOHUGEPAGE`
    package func avoidHugePages() {
        _ = unsafe clinux_avoid_huge_pages(region.base, region.count)
    }

    /// Leaves the memory out of core dumps. madvise(2), `MADV_DONTDUMP`
    package func leaveOutOfDumps() {
        _ = unsafe clinux_leave_out_of_dumps(region.base, region.count)
    }

    /// Whether the kernel can allocate the pages of a range and report that there are too few. On a kernel
    /// before Linux 5.14, the touch of such a page raises SIGBUS instead.
    public static var canPopulate: Bool { clinux_populate(nil, 0) == 0 }

    /// Keeps the pages from being swapped out. mlock(2)
    public func lock() throws(Errno) {
        try checkedErrno(unsafe mlock(region.base, region.count))
    }

    /// Locks each page when it is first touched. mlock2(2), `MLOCK_ONFAULT`
    public func lockOnFault() throws(Errno) {
        try checked(unsafe clinux_lock_on_fault(region.base, region.count))
    }
}

extension MemoryRegion {
    /// Replaces pages that are in use by transparent huge pages, as far as the kernel has some. The bytes stay, and may
    /// be read meanwhile. madvise(2), `MADV_COLLAPSE` (Linux 6.1)
    package func collapseToHugePages() { _ = unsafe clinux_collapse(base, count) }

    /// Allocates every page of mapped memory now, so that no first touch faults; contents stay. madvise(2),
    /// `MADV_POPULATE_WRITE`, or a touch of each page where the kernel does not know that
    ///
    /// - Throws: `noMemory` when there is too little memory, `noSpace` when a file system is full.
    public func populate() throws(Errno) {
        guard MemoryMapping.canPopulate else { return unsafe clinux_touch(base, count) }
        let result = unsafe clinux_populate(base, count)
        // EFAULT is how the call reports a fault that would raise SIGBUS: the file system is full.
        try checked(result == -EFAULT ? -ENOSPC : result)
    }
}
