internal import LinuxIO
public import SystemPackage

/// A disk in memory.
///
/// Its bytes are one page-aligned mapping. By default all of the memory is provisioned, mapped and
/// locked when the disk is made, as the kernel's own RAM disks are, so that no write ever waits for
/// memory. A sparse disk takes memory on the first write to a page, and releases it on TRIM. The
/// memory of a disk with a backing has a name and outlives the process.
public final class RamDisk: Sendable {
    /// Size in bytes.
    public let size: UInt64
    /// Whether memory is taken when a page is first written, and released on TRIM.
    public let isSparse: Bool
    /// The identity of the memory. A disk with a backing has the identity that was made with the
    /// backing.
    public let identity: DiskIdentity
    /// The reason why the memory could not be locked; nil if it is locked, or the disk is sparse
    /// and never is.
    public let lockFailure: Errno?

    /// The disk's pages, for the threads that read and write them; not to be used after this object
    /// is gone.
    let pages: DiskPages
    /// The disk's memory, and its backing if it has one.
    let memory: DiskMemory
    /// The memory and the state of snapshots.
    let versionMemory: VersionMemory
    /// The contents of a disk that is served before they are complete; nil for any other disk.
    package let lateContents: LateContents?
    /// The template that the disk is a clone of; nil for any other disk.
    public let template: DiskTemplate?
    /// The allocation map and, for a clone, what ``TemplatePages`` needs.
    private let mapMemory: MemoryMapping
    private let pinMemory: MemoryMapping
    private let zeroingMemory: MemoryMapping
    /// The zeroes that empty pages of a sparse disk are read from: the kernel's zero page, mapped
    /// many times.
    private let zeroes: MemoryMapping

    /// Smallest size of a disk, in bytes: one page.
    public static var smallestSize: UInt64 { 4096 }
    /// Largest size that the NBD protocol can express, in bytes. The machine's memory usually ends
    /// sooner.
    public static var largestSize: UInt64 { 1 << 63 - 4096 }
    /// Returns the size of a disk for a number of bytes: whole pages, and one at least. A number that is too large for
    /// any disk stays as it is.
    package static func size(for bytes: UInt64) -> UInt64 {
        guard bytes < largestSize else { return bytes }
        return max(smallestSize, (bytes + smallestSize - 1) / smallestSize * smallestSize)
    }
    /// Longest run of zeroes that is read from an empty range at once, in bytes.
    private static var zeroRunLength: Int { 1 << 20 }

    /// Makes an empty disk.
    ///
    /// - Parameters:
    ///   - size: in bytes, from ``smallestSize`` to ``largestSize``.
    ///   - isSparse: takes memory only as it is written.
    /// - Throws: ``RamDiskError`` when the size is out of range or there is no memory for it.
    public convenience init(size: UInt64, isSparse: Bool = false) throws(RamDiskError) {
        let memory = try isSparse ? DiskMemory(sharedFor: size) : DiskMemory(privateFor: size)
        try self.init(memory, size: size, isSparse: isSparse)
    }

    /// Makes an empty disk in the machine's pool of reserved huge pages.
    ///
    /// - Parameter size: in bytes, from ``smallestSize`` to ``largestSize``.
    /// - Throws: ``RamDiskError`` when the size is out of range or the pool has too few pages.
    public convenience init(reservedPagesOf size: UInt64) throws(RamDiskError) {
        try self.init(DiskMemory(reservedFor: size), size: size, isSparse: false)
    }

    /// Makes a disk in memory that is mapped already, which may hold data if it is a backing's.
    ///
    /// - Parameters:
    ///   - template: makes the disk a clone.
    ///   - isFrozenSoon: leaves it to the first write of a page to take memory, for a disk that is filled once and
    ///     then only read.
    ///   - isFilledLate: makes ``lateContents``, and takes memory with each piece of them.
    ///   - memoryLimit: most bytes that a sparse disk takes; nil for what the machine has available.
    init(
        _ memory: consuming DiskMemory, size: UInt64, isSparse: Bool,
        template: DiskTemplate? = nil, isFrozenSoon: Bool = false,
        isFilledLate: Bool = false, memoryLimit: Int? = nil
    ) throws(RamDiskError) {
        let pageCount = DiskPages.count(of: size)
        let region = memory.mapping.region.slice(at: 0, count: pageCount * DiskPages.pageSize)
        let mapBytes = AllocationMap.byteCount(of: pageCount)
        let isProvisioned = !isSparse && !isFrozenSoon && !isFilledLate
        if isProvisioned { try memory.populate(size: size) }
        do throws(Errno) {
            let more = template == nil ? 0 : TemplatePages.byteCount(of: pageCount)
            mapMemory = try MemoryMapping(privateBytes: mapBytes + more)
            pinMemory = try MemoryMapping(privateBytes: PagePins.byteCount(of: pageCount))
            zeroingMemory = try MemoryMapping(privateBytes: ZeroingRanges.byteCount)
            zeroes = try MemoryMapping(privateBytes: Self.zeroRunLength, writable: false)
            versionMemory = try VersionMemory(
                pageCount: pageCount, isClone: template != nil,
                checkpoints: memory.backing?.checkpoints)
            lateContents = isFilledLate ? try LateContents(size: size, isSparse: isSparse) : nil
        } catch {
            throw .cannotAllocate(size: size, error)
        }
        let map = AllocationMap(pageCount: pageCount, memory: mapMemory.region)
        memory.backing?.rebuild(map, over: region, isSparse: isSparse)
        let rest = mapMemory.region.suffix(from: mapBytes)
        pages = DiskPages(
            size: size, shared: isSparse ? memory.handle : nil, region: region,
            zeroes: zeroes.region, map: map,
            pins: PagePins(pageCount: pageCount, memory: pinMemory.region),
            zeroing: ZeroingRanges(memory: zeroingMemory.region),
            memoryLimit: isSparse ? memoryLimit ?? memory.sparseLimit : .max,
            versions: versionMemory.versions,
            template: template.map { TemplatePages($0, memory: rest) },
            bitmaps: memory.backing?.checkpoints?.bitmaps)
        self.template = template
        let isLocked = isProvisioned || isFilledLate && !isSparse
        lockFailure =
            isLocked ? Self.lock(memory.mapping, mapMemory, onFault: isFilledLate) : nil
        self.size = size
        self.isSparse = isSparse
        identity = memory.backing?.identity ?? .random()
        self.memory = memory
    }

    deinit { pages.template?.uncount() }

    /// Locks memory, so that it is not swapped out. Returns the error if the process may not
    /// (`ulimit -l`); the disk works without the lock.
    ///
    /// - Parameter onFault: locks each page when it gets memory.
    private static func lock(
        _ mapping: borrowing MemoryMapping, _ mapMemory: borrowing MemoryMapping, onFault: Bool
    ) -> Errno? {
        do throws(Errno) {
            if onFault { try mapping.lockOnFault() } else { try mapping.lock() }
            try mapMemory.lock()
            return nil
        } catch {
            return error
        }
    }

    /// Leaves the contents of the disk and of its snapshots out of core dumps. madvise(2), `MADV_DONTDUMP`
    package func leaveOutOfDumps() {
        memory.mapping.leaveOutOfDumps()
        versionMemory.leaveOutOfDumps()
    }

    /// Returns some of the zeroes that empty pages are read from, at most a mebibyte.
    func zeroes(_ count: Int) -> MemoryRegion { zeroes.region.slice(at: 0, count: count) }

    /// Bytes of memory that the disk takes up at present.
    public var residentBytes: UInt64 { UInt64(memory.residentBytes) }
}

// MARK: - Content

extension RamDisk {
    /// Whether every byte is certainly zero: nothing was ever written, or all of it was trimmed.
    public var isBlank: Bool {
        guard !isPending else { return false }
        let count = pages.map.pageCount
        return pages.firstWithData(from: 0, limit: count) == count
    }

    /// The largest sector size, in bytes, with which the disk's content can be used: 512 or 4096.
    ///
    /// For a blank disk it is 4096, since its file system or partition table is yet to be made.
    /// With content it is 512, the sector size of most devices. File systems with blocks of 1 KiB
    /// and partition tables for sectors of 512 bytes cannot be used with larger sectors, and
    /// content made for larger sectors can be used with smaller ones. The exception is a GUID
    /// partition table, which is in the second sector: a disk with one at byte 4096 has 4096.
    public var sectorSize: Int {
        guard !isBlank else { return DiskPages.pageSize }
        let signature = Array("EFI PART".utf8)
        guard !hasBytes(signature, at: 512), hasBytes(signature, at: UInt64(DiskPages.pageSize))
        else { return 512 }
        return DiskPages.pageSize
    }

    private func hasBytes(_ bytes: [UInt8], at offset: UInt64) -> Bool {
        (try? read(at: offset, count: bytes.count)) == bytes
    }
}

// MARK: - Errors

/// An error while making a disk. Its description is one sentence for people.
#if hasAttribute(nonexhaustive)
    @nonexhaustive
#endif
public enum RamDiskError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The size is smaller than a page, or larger than the NBD protocol can express. In bytes.
    case sizeOutOfRange(UInt64)
    /// The machine, or the process's control group, has less memory left than the disk needs. In
    /// bytes.
    case notEnoughMemory(size: UInt64, available: UInt64)
    /// The kernel refused the memory. Size in bytes.
    case cannotAllocate(size: UInt64, Errno)
    /// The machine's pool of reserved huge pages has too few. Size in bytes; the rest in pages.
    case reservedPages(size: UInt64, needed: Int, free: Int)

    /// The size that was asked for, the reason why the disk was not made, and what to do.
    public var description: String {
        switch self {
        case .sizeOutOfRange(let size):
            "cannot make a disk of \(size.bytesText): choose a size from "
                + "\(RamDisk.smallestSize.bytesText) to \(RamDisk.largestSize.bytesText)"
        case .notEnoughMemory(let size, let available):
            "not enough memory for a disk of \(size.bytesText): \(available.bytesText) are available; "
                + "choose a smaller size, or a sparse disk, which takes memory only as it is written"
        case .cannotAllocate(let size, let error):
            "the kernel refused the memory for a disk of \(size.bytesText): \(error)"
        case .reservedPages(let size, let needed, let free):
            "too few reserved huge pages for a disk of \(size.bytesText): it needs \(needed), and "
                + "\(free) are free; reserve more as root with "
                + "sysctl vm.nr_hugepages=N, or use ordinary pages"
        }
    }
}

extension UInt64 {
    /// A number of bytes in words, rounded and exact: `101.6 GiB (109080000000 bytes)`. It is
    /// rounded down to tenths, so that the rounded number never exceeds the exact one.
    package var bytesText: String {
        guard self >= 1024 else { return "\(self) bytes" }
        let names = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        let step = (bitWidth - leadingZeroBitCount - 1) / 10
        // The next lower unit's remainder, from 1024ths to tenths.
        let tenths = (self >> UInt64(10 * (step - 1))) % 1024 * 10 / 1024
        let whole = self >> UInt64(10 * step)
        return "\(whole)\(tenths > 0 ? ".\(tenths)" : "") \(names[step - 1]) (\(self) bytes)"
    }
}
