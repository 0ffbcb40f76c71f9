internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// A disk's mapped memory and what it is a mapping of, if that is more than memory of the process's
/// own.
struct DiskMemory: ~Copyable, Sendable {
    /// The disk's bytes, up to the end of the last page.
    let mapping: MemoryMapping
    /// What a sparse disk maps: shared memory that goes with the process.
    private let shared: SharedMemory?
    /// What a disk with a name maps.
    let backing: Backing?

    /// Memory of the process's own. Linux gives that in pages of 2 MiB where shared memory seldom has
    /// them.
    init(ownFor size: UInt64) throws(RamDiskError) {
        let byteCount = try Self.byteCount(size)
        try Self.checkAvailable(size: size, needed: byteCount)
        do throws(Errno) {
            mapping = try MemoryMapping(privateBytes: byteCount)
        } catch {
            throw .cannotAllocate(size: size, error)
        }
        mapping.preferHugePages()
        shared = nil
        backing = nil
    }

    /// Memory of the process's own, out of the machine's pool of reserved large pages.
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

    /// Shared memory, which can be given back by the page.
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

    /// Memory that has, or will have, a name. One that is not sparse gets all of it here.
    init(_ backing: Backing, isSparse: Bool) throws(RamDiskError) {
        let count = backing.memory.size
        // A page of 2 MiB is never given back: there would be nothing sparse about it.
        if isSparse, backing.isReserved { throw .cannotAllocate(size: backing.size, .notSupported) }
        if !isSparse, !backing.isReserved {
            try Self.checkAvailable(
                size: backing.size, needed: max(0, count - backing.residentBytes))
        }
        do throws(Errno) {
            // Without it a file system that is full is noticed by a signal.
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

    /// Where a sparse disk takes memory from and gives it back to; nil for memory of the process's own.
    var handle: SharedMemoryHandle? {
        switch shared {
        case .some(let shared): shared.handle
        case nil: backing?.memory.handle
        }
    }

    /// Bytes of memory that are taken up at this moment.
    var residentBytes: Int {
        switch shared {
        case .some(let shared): shared.residentBytes
        case nil: backing?.residentBytes ?? mapping.region.count
        }
    }

    /// Bytes that a sparse disk may come to take up: what it has, and what the machine has left at this
    /// moment but for a reserve. Without a limit the kernel would not refuse memory, but end programs.
    var mostOfSparse: Int {
        guard let available = AvailableMemory.bytes else { return .max }
        return residentBytes + available - min(available / 8, Self.reserve)
    }

    /// Bytes that sparse disks leave to the machine.
    private static var reserve: Int { 512 << 20 }

    /// Takes all of it now.
    func populate(size: UInt64) throws(RamDiskError) {
        let region = mapping.region
        let unit = backing?.pageSize ?? MemoryMapping.largePageSize
        let units = (region.count + unit - 1) / unit
        let failure = Mutex<Errno?>(nil)
        let worth = max(1, Self.pagesWorthAThread * DiskPages.pageSize / unit)
        inShares(of: units, worth: worth) { share in
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

    /// From so many pages on another thread helps: 64 MiB of them.
    static var pagesWorthAThread: Int { 16_384 }

    private static func byteCount(_ size: UInt64) throws(RamDiskError) -> Int {
        guard size >= RamDisk.smallestSize, size <= RamDisk.largestSize else {
            throw .sizeOutOfRange(size)
        }
        return DiskPages.count(of: size) * DiskPages.pageSize
    }

    private static func checkAvailable(size: UInt64, needed: Int) throws(RamDiskError) {
        if let available = AvailableMemory.bytes, needed > available {
            throw .notEnoughMemory(size: size, available: UInt64(available))
        }
    }
}
