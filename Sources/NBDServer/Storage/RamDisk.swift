// The disk: who owns its memory, and how that is had.

internal import LinuxIO
public import SystemPackage

/// A disk in memory.
///
/// Its bytes are one page-aligned mapping. By default all of it is provisioned, mapped and locked
/// when the disk is made, as the kernel's own RAM disks are, so that no write ever waits for memory.
/// A sparse disk takes memory on the first write to a page and gives it back on TRIM.
public final class RamDisk: Sendable {
    /// Bytes that can be stored.
    public let size: UInt64
    /// Whether memory is taken when a page is first written, and given back on TRIM.
    public let isSparse: Bool
    /// Why the memory could not be locked, or nil when it is (or is not meant to be).
    public let lockFailure: Errno?

    /// Its pages, for whoever reads and writes them while this disk lives.
    let pages: DiskPages
    /// Where a sparse disk's memory comes from, by the page; nil for a plain disk.
    private let shared: SharedMemory?
    private let mapping: MemoryMapping
    private let mapMemory: MemoryMapping
    /// What empty pages of a sparse disk are read from: the kernel's one page of zeroes, many times.
    private let zeroes: MemoryMapping

    /// Smallest disk, in bytes: one page.
    public static var smallestSize: UInt64 { 4096 }
    /// Largest size that can be told to clients, in bytes; the machine ends sooner.
    public static var largestSize: UInt64 { 1 << 63 - 4096 }
    /// Length of the run of zeroes that one slice of an empty range can have.
    private static var zeroRunLength: Int { 1 << 20 }

    /// Makes an empty disk.
    ///
    /// - Parameters:
    ///   - size: in bytes, from ``smallestSize`` to ``largestSize``.
    ///   - isSparse: takes memory only as it is written.
    /// - Throws: ``RamDiskError`` when the size is out of range or there is no memory for it.
    public init(size: UInt64, isSparse: Bool = false) throws(RamDiskError) {
        guard size >= Self.smallestSize, size <= Self.largestSize else {
            throw .sizeOutOfRange(size)
        }
        let pageCount = DiskPages.count(of: size)
        let byteCount = pageCount * DiskPages.pageSize
        if !isSparse, let available = AvailableMemory.bytes, byteCount > available {
            throw .notEnoughMemory(size: size, available: UInt64(available))
        }
        self.size = size
        self.isSparse = isSparse
        do throws(Errno) {
            let mapMemory = try MemoryMapping(privateBytes: AllocationMap.byteCount(of: pageCount))
            let zeroes = try MemoryMapping(privateBytes: Self.zeroRunLength, writable: false)
            let map = AllocationMap(pageCount: pageCount, memory: mapMemory.region)
            if isSparse {
                let shared = try SharedMemory(name: "ramdisk", size: byteCount)
                mapping = try MemoryMapping(shared)
                pages = DiskPages(
                    size: size, shared: shared.handle, region: mapping.region,
                    zeroes: zeroes.region, map: map)
                self.shared = consume shared
                lockFailure = nil
            } else {
                mapping = try MemoryMapping(privateBytes: byteCount)
                pages = DiskPages(
                    size: size, shared: nil, region: mapping.region, zeroes: zeroes.region,
                    map: map)
                shared = nil
                lockFailure = try Self.provision(mapping, mapMemory)
            }
            self.mapMemory = mapMemory
            self.zeroes = zeroes
        } catch {
            throw .cannotAllocate(size: size, error)
        }
    }

    /// Takes all memory now. Locking it may be forbidden (`ulimit -l`): that is told, not fatal.
    private static func provision(
        _ mapping: borrowing MemoryMapping, _ mapMemory: borrowing MemoryMapping
    ) throws(Errno) -> Errno? {
        mapping.preferHugePages()
        try mapping.populate()
        do throws(Errno) {
            try mapping.lock()
            try mapMemory.lock()
            return nil
        } catch {
            return error
        }
    }

    /// Bytes of memory that the disk takes up at this moment.
    public var residentBytes: UInt64 {
        switch shared {
        case .some(let shared): UInt64(shared.residentBytes)
        case nil: UInt64(mapping.region.count)
        }
    }
}
