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

    /// Makes the page tables, so that no first touch has to. Returns whether the kernel could:
    /// Linux before 5.14 cannot, and nothing but a little speed is lost. madvise(2)
    @discardableResult
    public func populate() -> Bool {
        unsafe clinux_populate(region.base, region.count) == 0
    }

    /// Keeps the pages from being swapped out. mlock(2)
    public func lock() throws(Errno) {
        try checkedErrno(unsafe mlock(region.base, region.count))
    }
}
