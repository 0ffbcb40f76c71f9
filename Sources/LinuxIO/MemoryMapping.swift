// Mapped memory with an owner.

internal import CLinux
internal import Glibc
public import SystemPackage

/// Pages of memory, mapped as long as this value lives.
public struct MemoryMapping: ~Copyable, Sendable {
    /// The mapped bytes. Valid as long as the mapping lives.
    public let region: MemoryRegion

    /// Maps all of a shared memory object. mmap(2)
    public init(_ memory: borrowing SharedMemory) throws(Errno) {
        var error: CInt = 0
        guard let base = unsafe clinux_map_shared(memory.descriptor.rawValue, memory.size, &error)
        else { throw Errno(rawValue: error) }
        unsafe region = MemoryRegion(base: base, count: memory.size)
    }

    /// Maps memory of the process's own that reads as zeroes and costs nothing until it is written.
    public init(privateBytes count: Int, writable: Bool = true) throws(Errno) {
        var error: CInt = 0
        guard let base = unsafe clinux_map_private(count, writable ? 1 : 0, &error)
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

    /// Takes memory for every page now, so that no first touch has to; throws `noMemory` when there
    /// is not enough. madvise(2), or one write a page where the kernel is older than Linux 5.14
    public func populate() throws(Errno) {
        let result = unsafe clinux_populate(region.base, region.count)
        if result == -EINVAL { return region.zero() }
        try checked(result)
    }

    /// Keeps the pages from being swapped out. mlock(2)
    public func lock() throws(Errno) {
        try checkedErrno(unsafe mlock(region.base, region.count))
    }
}
