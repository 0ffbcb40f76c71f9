internal import LinuxIO
internal import NBDProtocol
internal import NBDServer
internal import SystemPackage

/// A disk's bytes, wherever they are: in a store, or in an image.
protocol ByteSource: ~Copyable {
    /// The number of bytes.
    var size: UInt64 { get }

    /// Returns the first part of a range that may hold data; nil when all of it is zero. The range is not empty.
    func firstData(in range: Range<UInt64>) throws(DiskImageError) -> Range<UInt64>?

    /// Fills a region with the bytes from an offset on.
    func read(at offset: UInt64, into region: MemoryRegion) throws(DiskImageError)
}

/// A chunk of a disk in memory: 1 MiB, which is the unit of checksums and of transfers, in pages of 4 KiB, which are
/// the unit of saving.
struct ChunkBuffer: ~Copyable {
    /// Bytes in a chunk. It is the most that a store reads at once.
    static let byteCount = 1 << 20
    /// Bytes in a page.
    static let pageSize = 4096
    /// Pages in a chunk.
    static let pageCount = byteCount / pageSize

    private let memory: MemoryMapping
    /// The bytes of the disk that the chunk covers; fewer than 1 MiB at the end of a disk.
    private(set) var range: Range<UInt64> = 0..<0
    /// The pages that are not zero.
    private(set) var holdsData = [Bool](repeating: false, count: pageCount)
    /// The sum, modulo 2^64, of the hashes of the pages that are not zero, each seeded with the page's index on the
    /// disk. So a hole costs nothing, and a page at the wrong place changes it. 0 when all pages are zero.
    private(set) var checksum: UInt64 = 0

    /// The number of bytes that the last load has read.
    private(set) var loadedCount = 0

    init() throws(DiskImageError) { memory = try Self.memory() }

    /// Returns new memory, which is zero; for a chunk, unless another number of bytes is given.
    static func memory(_ count: Int = byteCount) throws(DiskImageError) -> MemoryMapping {
        do throws(Errno) {
            return try MemoryMapping(privateBytes: count)
        } catch {
            throw .system(action: "get memory for", file: "a buffer of \(count) bytes", error)
        }
    }

    /// Returns the bytes of a disk that a chunk covers.
    static func range(of chunk: UInt64, size: UInt64) -> Range<UInt64> {
        let start = chunk * UInt64(byteCount)
        return start..<min(size, start + UInt64(byteCount))
    }

    /// Reads a chunk, except for its holes.
    mutating func load<Source: ByteSource & ~Copyable>(
        _ chunk: UInt64, from source: borrowing Source
    ) throws(DiskImageError) {
        range = Self.range(of: chunk, size: source.size)
        checksum = 0
        loadedCount = 0
        for page in 0..<Self.pageCount { holdsData[page] = false }
        let pageSize = UInt64(Self.pageSize)
        var offset = range.lowerBound
        while offset < range.upperBound,
            let data = try source.firstData(in: offset..<range.upperBound)
        {
            let start = data.lowerBound / pageSize * pageSize
            let end = min(range.upperBound, (data.upperBound + pageSize - 1) / pageSize * pageSize)
            let index = Int(start - range.lowerBound)
            let count = Int(end - start)
            // The disk may end inside a page. Its checksum covers zeroes behind the end.
            let rest = -count & (Self.pageSize - 1)
            memory.region.slice(at: index + count, count: rest).zero()
            try source.read(at: start, into: memory.region.slice(at: index, count: count))
            examine(index / Self.pageSize..<(index + count + rest) / Self.pageSize)
            loadedCount += count
            offset = end
        }
    }

    /// Records which pages are not zero, and adds their hashes to the checksum.
    private mutating func examine(_ pages: Range<Int>) {
        let first = range.lowerBound / UInt64(Self.pageSize)
        for page in pages {
            let bytes = memory.region.slice(at: page * Self.pageSize, count: Self.pageSize)
            guard !bytes.isZero else { continue }
            holdsData[page] = true
            checksum &+= Checksum.of(bytes.span, seed: first + UInt64(page))
        }
    }

    /// Passes each longest run of pages that all are zero, or all are not, to a function.
    func forEachRun(
        of pages: Range<Int>,
        _ body: (_ pages: Range<Int>, _ holdsData: Bool) throws(DiskImageError) -> Void
    ) throws(DiskImageError) {
        var rest = pages
        while let first = rest.first {
            let end = rest.first { holdsData[$0] != holdsData[first] } ?? rest.upperBound
            try body(first..<end, holdsData[first])
            rest = end..<rest.upperBound
        }
    }

    /// The pages that the disk has in this chunk.
    var pages: Range<Int> { 0..<(range.count + Self.pageSize - 1) / Self.pageSize }

    /// Returns where pages are on the disk, in bytes.
    func bytes(of pages: Range<Int>) -> Range<UInt64> {
        let start = range.lowerBound + UInt64(pages.lowerBound * Self.pageSize)
        return
            start..<min(
                range.upperBound, range.lowerBound + UInt64(pages.upperBound * Self.pageSize))
    }

    /// Returns the bytes of pages, which the last load has read.
    func region(of pages: Range<Int>) -> MemoryRegion {
        memory.region.slice(at: pages.lowerBound * Self.pageSize, count: bytes(of: pages).count)
    }
}

/// A store whose bytes do not change while they are saved.
struct FrozenSource: ByteSource {
    private let store: any BlockStore
    /// The number of bytes that may hold data; nil when it takes a search to find out.
    fileprivate let dataBytes: UInt64?
    let size: UInt64

    init(_ store: any BlockStore, dataBytes: UInt64? = nil) {
        self.store = store
        self.dataBytes = dataBytes
        size = store.size
    }

    func firstData(in range: Range<UInt64>) throws(DiskImageError) -> Range<UInt64>? {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let extent: Extent
            do throws(BlockStoreError) {
                extent = try store.firstExtent(of: offset..<range.upperBound)
            } catch {
                throw .unreadableDisk(error.message)
            }
            guard extent.length > 0, extent.length <= range.upperBound - offset else {
                throw .unreadableDisk("it reports an extent of \(extent.length) bytes")
            }
            if !extent.status.contains(.zero) { return offset..<offset + extent.length }
            offset += extent.length
        }
        return nil
    }

    func read(at offset: UInt64, into region: MemoryRegion) throws(DiskImageError) {
        do throws(BlockStoreError) {
            try region.withMutableBytes { (bytes) throws(BlockStoreError) in
                try store.read(at: offset, into: &bytes)
            }
        } catch {
            throw .unreadableDisk(error.message)
        }
    }
}

/// The chunks of a source that may hold data, in ascending order.
///
/// It searches 1 GiB at a time: for each call a RAM disk searches its map to the end of the extent, so asking about the
/// whole disk before each chunk would take a time that grows with the square of the size.
struct DataChunks<Source: ByteSource> {
    private let source: Source
    private var offset: UInt64 = 0

    init(of source: Source) { self.source = source }

    /// Returns the index of the next chunk; nil behind the last.
    mutating func next() throws(DiskImageError) -> UInt64? {
        while offset < source.size {
            let window = offset..<min(source.size, offset + 1 << 30)
            guard let data = try source.firstData(in: window) else {
                offset = window.upperBound
                continue
            }
            let chunk = data.lowerBound / UInt64(ChunkBuffer.byteCount)
            offset = (chunk + 1) * UInt64(ChunkBuffer.byteCount)
            return chunk
        }
        return nil
    }
}

extension FrozenSource {
    /// Returns the number of bytes that may hold data.
    func allocatedBytes() throws(DiskImageError) -> UInt64 {
        if let dataBytes { return dataBytes }
        var count: UInt64 = 0
        var offset: UInt64 = 0
        while offset < size, let data = try firstData(in: offset..<size) {
            count += UInt64(data.count)
            offset = data.upperBound
        }
        return count
    }
}
