internal import LinuxIO

/// The header of a backing, from which a server can tell whether it may serve the disk.
///
/// It is at the start of the file, in little-endian words:
///
/// | bytes | content |
/// | --- | --- |
/// | 0–7 | `RDNBDISK` |
/// | 8–15 | version |
/// | 16–23 | size of the disk in bytes |
/// | 24–31 | offset of the disk's bytes in the file |
/// | 32–39 | bytes in a page of the file system |
/// | 40–55 | identity |
/// | 56–63 | FNV-1a checksum of bytes 0–55 |
/// | 64–71 | ``BackingState`` |
/// | 72–79 | which slot has the ``CheckpointNames``: 1, 2, or 0 for none |
/// | 80–87 | the active bitmap of ``DirtyBitmaps``: 0 or 1 |
/// | 1024–1311 | slot 1 |
/// | 2048–2335 | slot 2 |
///
/// The bitmaps follow at 4096. Everything before the state is written once, before the file has a name, and never
/// changes.
///
/// In a file of version 2, which an earlier version of this server has made, there is nothing behind the state.
struct BackingHeader: Equatable {
    /// The version of the format.
    var version: UInt32
    /// Size of the disk in bytes.
    var size: UInt64
    /// Offset of the disk's bytes in the file.
    var dataOffset: UInt64
    /// Bytes in a page of the file system that the file was made in.
    var pageSize: UInt64
    /// The identity of the memory.
    var identity: DiskIdentity

    /// Bytes that the header takes up, most of them zero: a page.
    static var byteCount: Int { 4096 }
    /// The versions that this server reads. It writes the last one.
    static var versions: ClosedRange<UInt32> { 2...3 }
    private static var magic: [UInt8] { Array("RDNBDISK".utf8) }
    /// Bytes in front of the checksum, which covers them.
    private static var checkedCount: Int { 56 }
    /// Offset of the state, in bytes.
    static var stateOffset: Int { 64 }
    /// Offset of the word that says where the names of checkpoints are, in bytes.
    static var namesOffset: Int { 72 }
    /// Offset of the word that says which bitmap is active, in bytes.
    static var activeBitmapOffset: Int { 80 }

    /// The reason why bytes are not a header.
    enum HeaderError: Error, Equatable {
        /// The magic number or the checksum is wrong, or a value is out of range.
        case damaged
        /// The header of another version of this server.
        case version(UInt32)
    }

    init(
        version: UInt32 = versions.upperBound, size: UInt64, dataOffset: UInt64, pageSize: UInt64,
        identity: DiskIdentity
    ) {
        self.version = version
        self.size = size
        self.dataOffset = dataOffset
        self.pageSize = pageSize
        self.identity = identity
    }

    /// The header of a new disk. The disk's bytes begin at a multiple of 2 MiB, or of a larger
    /// page, so that the kernel can map them in huge pages.
    init(size: UInt64, pageSize: Int) {
        self.init(size: size, dataOffset: 0, pageSize: UInt64(pageSize), identity: .random())
        let unit = max(pageSize, MemoryMapping.largePageSize)
        dataOffset = UInt64((headerCount + unit - 1) / unit * unit)
    }

    /// Decodes and checks a header.
    init(decoding bytes: [UInt8]) throws(HeaderError) {
        guard bytes.count >= Self.checkedCount + 16, bytes.starts(with: Self.magic) else {
            throw .damaged
        }
        let version = UInt32(truncatingIfNeeded: Self.word(bytes, 8))
        guard Self.versions.contains(version) else { throw .version(version) }
        let sum = Self.checksum(bytes.prefix(Self.checkedCount))
        guard Self.word(bytes, Self.checkedCount) == sum else { throw .damaged }
        self.version = version
        size = Self.word(bytes, 16)
        dataOffset = Self.word(bytes, 24)
        pageSize = Self.word(bytes, 32)
        identity = DiskIdentity(high: Self.word(bytes, 40), low: Self.word(bytes, 48))
        guard size >= RamDisk.smallestSize, size <= RamDisk.largestSize,
            dataOffset >= Self.byteCount, dataOffset <= 1 << 40,
            pageSize >= 4096, pageSize <= dataOffset, dataOffset % pageSize == 0,
            headerCount <= Int(dataOffset)
        else { throw .damaged }
    }

    /// The header's bytes, without the state.
    var encoded: [UInt8] {
        var bytes = Self.magic
        for word in [
            UInt64(version), size, dataOffset, pageSize, identity.high, identity.low,
        ] {
            bytes += Self.bytes(of: word)
        }
        return bytes + Self.bytes(of: Self.checksum(bytes[...]))
    }

    /// Bytes of the disk in the file, up to the end of the last page.
    var dataCount: UInt64 { (size + pageSize - 1) / pageSize * pageSize }

    /// Bytes in the file.
    var fileSize: UInt64 { dataOffset + dataCount }

    /// Whether checkpoints survive in the file.
    var hasCheckpoints: Bool { version >= 3 }

    /// Bytes of the file to map for the header and the bitmaps: whole pages of the file system.
    var headerCount: Int {
        let bitmaps = hasCheckpoints ? DirtyBitmaps.byteCount(of: DiskPages.count(of: size)) : 0
        return (Self.byteCount + bitmaps + Int(pageSize) - 1) / Int(pageSize) * Int(pageSize)
    }

    /// FNV-1a, 64 bits. It detects accidental damage; it is no protection against forgery.
    static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    /// The bytes of a word, little endian.
    static func bytes(of word: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
    }

    /// Returns the little-endian word at an offset.
    static func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << ($1 * 8) }
    }
}

/// The process that has a backing open, and whether it is being served: a word of the header.
///
/// It is one aligned word, which is stored atomically. A process that is killed leaves either the
/// old or the new state.
struct BackingState: Equatable {
    /// Whether a server has served the disk since it was last kept on purpose.
    var isServed: Bool
    /// The pid of the process that has the file open, or that died with it open; 0 for none.
    var process: Int32

    /// The state that a server leaves when it stops and keeps the disk on purpose.
    static var kept: BackingState { BackingState(isServed: false, process: 0) }

    init(isServed: Bool, process: Int32) {
        self.isServed = isServed
        self.process = process
    }

    /// Decodes the state from a header, which must be long enough.
    init(decoding bytes: [UInt8]) {
        let word = BackingHeader.word(bytes, BackingHeader.stateOffset)
        process = Int32(truncatingIfNeeded: word)
        isServed = word >> 32 & 1 == 1
    }

    /// Stores the state in a header with one atomic store.
    func store(in header: MemoryRegion) {
        let word = UInt64(UInt32(bitPattern: process)) | (isServed ? 1 << 32 : 0)
        AtomicWords(header).store(BackingHeader.stateOffset / 8, word.littleEndian)
    }
}
