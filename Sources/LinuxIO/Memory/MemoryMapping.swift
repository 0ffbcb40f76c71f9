internal import CLinux
internal import Glibc
public import SystemPackage

/// Pages of memory, mapped as long as this value lives.
public struct MemoryMapping: ~Copyable, Sendable {
    /// The mapped bytes. Valid as long as the mapping lives.
    public let region: MemoryRegion

    /// Bytes in the pages that x86 and ARM have besides the small ones; where a disk begins, these fit.
    public static var largePageSize: Int { 2 << 20 }

    /// Maps all of a shared memory object, on an address where large pages fit. mmap(2)
    public init(_ memory: borrowing SharedMemory) throws(Errno) {
        try self.init(memory.descriptor, offset: memory.offset, count: memory.size)
    }

    /// Maps the first bytes of a file; there have to be as many. mmap(2)
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

    /// Maps memory of the process's own that reads as zeroes and costs nothing until it is written.
    public init(privateBytes count: Int, writable: Bool = true) throws(Errno) {
        var error: CInt = 0
        guard let base = unsafe clinux_map_private(count, writable ? 1 : 0, &error)
        else { throw Errno(rawValue: error) }
        unsafe region = MemoryRegion(base: base, count: count)
    }

    /// Maps memory of the process's own out of the machine's pool of reserved large pages; throws
    /// `noMemory` when that has too few. The count is a multiple of ``ReservedPages/size``. mmap(2),
    /// `MAP_HUGETLB`
    public init(reservedBytes count: Int) throws(Errno) {
        var error: CInt = 0
        guard let base = unsafe clinux_map_reserved(count, &error)
        else { throw Errno(rawValue: error) }
        unsafe region = MemoryRegion(base: base, count: count)
    }

    deinit {
        unsafe munmap(region.base, region.count)
    }

    /// Asks for pages of 2 MiB (or whatever is large here) where there are some: fewer page table
    /// entries, so fewer misses. What the kernel does about it is its own choice. madvise(2)
    public func preferHugePages() {
        _ = unsafe clinux_prefer_huge_pages(region.base, region.count)
    }

    /// Whether the kernel can take memory for a range and say that there is none; one older than
    /// Linux 5.14 answers a touch with a signal.
    public static var canPopulate: Bool { clinux_populate(nil, 0) == 0 }

    /// Keeps the pages from being swapped out. mlock(2)
    public func lock() throws(Errno) {
        try checkedErrno(unsafe mlock(region.base, region.count))
    }
}

extension MemoryRegion {
    /// Takes memory for every page of mapped memory now, so that no first touch has to; what is in
    /// them stays. Throws `noMemory` when there is not enough, `noSpace` when a file system is full.
    /// madvise(2), or a touch where that is not known
    public func populate() throws(Errno) {
        guard MemoryMapping.canPopulate else { return unsafe clinux_touch(base, count) }
        let result = unsafe clinux_populate(base, count)
        // A file system that is full would have sent a signal.
        try checked(result == -EFAULT ? -ENOSPC : result)
    }
}
