internal import LinuxIO
public import SystemPackage

/// A disk in memory.
///
/// Its bytes are one page-aligned mapping. By default all of it is provisioned, mapped and locked
/// when the disk is made, as the kernel's own RAM disks are, so that no write ever waits for memory.
/// A sparse disk takes memory on the first write to a page and gives it back on TRIM. A disk with a
/// backing is in memory that has a name and outlives the process.
public final class RamDisk: Sendable {
    /// Bytes that can be stored.
    public let size: UInt64
    /// Whether memory is taken when a page is first written, and given back on TRIM.
    public let isSparse: Bool
    /// Which memory it is. A disk with a backing has the one that was made with the backing.
    public let identity: DiskIdentity
    /// Why the memory could not be locked, or nil when it is (or is not meant to be).
    public let lockFailure: Errno?

    /// Its pages, for whoever reads and writes them while this disk lives.
    let pages: DiskPages
    /// Its memory, and the name of that if it has one.
    let memory: DiskMemory
    private let mapMemory: MemoryMapping
    private let claimMemory: MemoryMapping
    private let zeroingMemory: MemoryMapping
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
    public convenience init(size: UInt64, isSparse: Bool = false) throws(RamDiskError) {
        let memory = try isSparse ? DiskMemory(sharedFor: size) : DiskMemory(ownFor: size)
        try self.init(memory, size: size, isSparse: isSparse)
    }

    /// Makes an empty disk out of the machine's pool of reserved large pages, as it has to be there.
    ///
    /// - Parameter size: in bytes, from ``smallestSize`` to ``largestSize``.
    /// - Throws: ``RamDiskError`` when the size is out of range or the pool has too few pages.
    public convenience init(reservedPagesOf size: UInt64) throws(RamDiskError) {
        try self.init(DiskMemory(reservedFor: size), size: size, isSparse: false)
    }

    /// A disk of memory that is there, or its first making.
    init(
        _ memory: consuming DiskMemory, size: UInt64, isSparse: Bool
    ) throws(RamDiskError) {
        let pageCount = DiskPages.count(of: size)
        let region = memory.mapping.region.slice(at: 0, count: pageCount * DiskPages.pageSize)
        if !isSparse { try memory.populate(size: size) }
        do throws(Errno) {
            mapMemory = try MemoryMapping(privateBytes: AllocationMap.byteCount(of: pageCount))
            claimMemory = try MemoryMapping(privateBytes: PagePins.byteCount(of: pageCount))
            zeroingMemory = try MemoryMapping(privateBytes: ZeroingRanges.byteCount)
            zeroes = try MemoryMapping(privateBytes: Self.zeroRunLength, writable: false)
        } catch {
            throw .cannotAllocate(size: size, error)
        }
        let map = AllocationMap(pageCount: pageCount, memory: mapMemory.region)
        memory.backing?.rebuild(map, over: region, isSparse: isSparse)
        pages = DiskPages(
            size: size, shared: isSparse ? memory.handle : nil, region: region,
            zeroes: zeroes.region, map: map,
            claims: PagePins(pageCount: pageCount, memory: claimMemory.region),
            zeroing: ZeroingRanges(memory: zeroingMemory.region),
            mostMemory: isSparse ? memory.mostOfSparse : .max)
        lockFailure = isSparse ? nil : Self.lock(memory.mapping, mapMemory)
        self.size = size
        self.isSparse = isSparse
        identity = memory.backing?.identity ?? .random()
        self.memory = memory
    }

    /// Keeps the memory from being swapped out. That may be forbidden (`ulimit -l`), which is told,
    /// not fatal.
    private static func lock(
        _ mapping: borrowing MemoryMapping, _ mapMemory: borrowing MemoryMapping
    ) -> Errno? {
        do throws(Errno) {
            try mapping.lock()
            try mapMemory.lock()
            return nil
        } catch {
            return error
        }
    }

    /// Bytes of memory that the disk takes up at this moment.
    public var residentBytes: UInt64 { UInt64(memory.residentBytes) }
}
