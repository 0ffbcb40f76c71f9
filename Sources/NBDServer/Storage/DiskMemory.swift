internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// A disk's mapped memory, together with the memory object or backing that it is a mapping of.
struct DiskMemory: ~Copyable, Sendable {
    /// The disk's bytes, up to the end of the last page.
    let mapping: MemoryMapping
    /// The memory object of a sparse disk without a backing. It is freed when the process ends.
    private let shared: SharedMemory?
    /// The backing; nil if the disk has none.
    let backing: Backing?

    /// Maps private memory, for a plain disk. The kernel provides it in pages of 2 MiB, which
    /// shared memory seldom has.
    ///
    /// - Parameter data: bytes of it that will be used; nil for all. Pages of 2 MiB would take more than that.
    init(privateFor size: UInt64, data: UInt64? = nil) throws(RamDiskError) {
        let byteCount = try Self.byteCount(size)
        try Self.checkAvailable(size: size, needed: data.map { Int($0) } ?? byteCount)
        do throws(Errno) {
            mapping = try MemoryMapping(privateBytes: byteCount)
        } catch {
            throw .cannotAllocate(size: size, error)
        }
        if data == nil { mapping.preferHugePages() } else { mapping.avoidHugePages() }
        shared = nil
        backing = nil
    }

    /// Maps private memory from the machine's pool of reserved huge pages.
    init(reservedFor size: UInt64) throws(RamDiskError) {
        let pageSize = ReservedPages.size ?? MemoryMapping.largePageSize
        let pages = (try Self.byteCount(size) - 1) / pageSize + 1
        guard pages <= Int.max / pageSize else {
            throw .reservedPages(size: size, needed: pages, free: ReservedPages.free)
        }
        do throws(Errno) {
            mapping = try MemoryMapping(reservedBytes: pages * pageSize)
        } catch {
            throw .reservedPages(size: size, needed: pages, free: ReservedPages.free)
        }
        shared = nil
        backing = nil
    }

    /// Maps shared memory, for a sparse disk: it can be released by the page.
    init(sharedFor size: UInt64) throws(RamDiskError) {
        let byteCount = try Self.byteCount(size)
        do throws(Errno) {
            let shared = try SharedMemory(name: "ramdisk", size: byteCount)
            mapping = try MemoryMapping(shared)
            self.shared = consume shared
        } catch {
            throw .cannotAllocate(size: size, error)
        }
        backing = nil
    }

    /// Maps the memory of a backing. For a plain disk, all of it is provisioned here or in
    /// ``populate(size:)``.
    init(_ backing: Backing, isSparse: Bool) throws(RamDiskError) {
        let count = backing.memory.size
        // Pages of 2 MiB would never be released, so the disk would not be sparse.
        if isSparse, backing.isReserved { throw .cannotAllocate(size: backing.size, .notSupported) }
        if !isSparse, !backing.isReserved {
            try Self.checkAvailable(
                size: backing.size, needed: max(0, count - backing.residentBytes))
        }
        do throws(Errno) {
            // Before Linux 5.14 there is no MADV_POPULATE_WRITE: touching the memory of a full file
            // system would raise SIGBUS.
            if !isSparse, !MemoryMapping.canPopulate {
                try backing.memory.handle.provision(offset: 0, count: count)
            }
            mapping = try MemoryMapping(backing.memory)
        } catch {
            throw backing.failure(error)
        }
        mapping.preferHugePages()
        shared = nil
        self.backing = backing
    }

    /// The memory object in which a sparse disk provisions and releases memory; nil for private
    /// memory.
    var handle: SharedMemoryHandle? {
        switch shared {
        case .some(let shared): shared.handle
        case nil: backing?.memory.handle
        }
    }

    /// Bytes of memory that are taken up at present.
    var residentBytes: Int {
        switch shared {
        case .some(let shared): shared.residentBytes
        case nil: backing?.residentBytes ?? mapping.region.count
        }
    }

    /// The largest number of bytes of memory that a sparse disk may take: what it has, and what the machine has
    /// available now except for a reserve. Without this limit the kernel would not refuse memory, but kill processes
    /// (OOM killer).
    var sparseLimit: Int {
        let room = Self.sparseRoom
        // As it is compared: a backing's handle counts the header and the bitmaps too.
        return room == .max ? .max : (handle?.residentBytes ?? residentBytes) + room
    }

    /// Bytes that sparse disks may take at present: what the machine has available except for a reserve.
    static var sparseRoom: Int {
        guard let available = availableBytes else { return .max }
        return available - min(available / 8, reserve)
    }

    /// Bytes that the machine has available, without those that late contents will take; nil when that is not known.
    private static var availableBytes: Int? {
        AvailableMemory.bytes.map { max(0, $0 - LateContents.promisedBytes) }
    }

    /// The largest number of bytes that sparse disks leave to the rest of the machine: 512 MiB.
    private static var reserve: Int { 512 << 20 }

    /// Takes all of the memory now, on all processors.
    func populate(size: UInt64) throws(RamDiskError) {
        let region = mapping.region
        let unit = backing?.pageSize ?? MemoryMapping.largePageSize
        let units = (region.count + unit - 1) / unit
        let failure = Mutex<Errno?>(nil)
        let minimum = max(1, Self.pagesPerThread * DiskPages.pageSize / unit)
        inShares(of: units, minimum: minimum) { share in
            let start = share.lowerBound * unit
            let end = min(region.count, share.upperBound * unit)
            do throws(Errno) {
                try region.slice(at: start, count: end - start).populate()
            } catch {
                failure.withLock { $0 = error }
            }
        }
        if let error = failure.withLock({ $0 }) {
            throw backing?.failure(error) ?? .cannotAllocate(size: size, error)
        }
    }

    /// Pages that justify a thread of their own: 64 MiB of them.
    static var pagesPerThread: Int { 16_384 }

    private static func byteCount(_ size: UInt64) throws(RamDiskError) -> Int {
        guard size >= RamDisk.smallestSize, size <= RamDisk.largestSize else {
            throw .sizeOutOfRange(size)
        }
        return DiskPages.count(of: size) * DiskPages.pageSize
    }

    /// Throws when the machine has fewer bytes available than are needed for a disk.
    static func checkAvailable(size: UInt64, needed: Int) throws(RamDiskError) {
        if let available = availableBytes, needed > available {
            throw .notEnoughMemory(size: size, available: UInt64(available))
        }
    }
}

/// Divides `0..<count` into shares of at least `minimum` elements, at most one for each processor,
/// and calls `work` with each share on a thread of its own. Returns when all are done.
func inShares(
    of count: Int, minimum: Int, _ work: @escaping @Sendable (Range<Int>) -> Void
) {
    let shares = max(1, min(Processor.onlineCount, count / minimum))
    let length = (count + shares - 1) / shares
    let threads = (1..<shares).map { index in
        let share = min(count, index * length)..<min(count, (index + 1) * length)
        do throws(Errno) {
            return try Thread(name: "share") { work(share) } as Thread?
        } catch {
            // Without another thread, this one does the work.
            work(share)
            return nil
        }
    }
    work(0..<min(count, length))
    for thread in threads { thread?.join() }
}
