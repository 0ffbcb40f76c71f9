// The first bytes of a backing: what is kept in it, so that the next server can tell whether it may
// serve it.
//
// Little endian, at the file's start; docs/ARCHITECTURE.md has it as a table. All but the last word
// is written once, before the file has a name, and never again. The last one says who has it open; it
// is one aligned word, so that whoever is killed leaves it as it was or as it should be.

internal import LinuxIO

/// What a backing says about itself.
struct BackingHeader: Equatable {
    /// Bytes in the disk.
    var size: UInt64
    /// Where the disk's bytes begin in the file.
    var dataOffset: UInt64
    /// Bytes in a page of the file system that it was made in.
    var pageSize: UInt64
    /// Which memory it is.
    var identity: DiskIdentity

    /// Bytes that it takes up, a page; most are zero.
    static var byteCount: Int { 4096 }
    /// The version that this program writes, and the only one that it reads.
    static var version: UInt32 { 2 }
    private static var magic: [UInt8] { Array("RDNBDISK".utf8) }
    /// Bytes that the checksum is about, and in front of it.
    private static var checkedCount: Int { 56 }
    /// The word behind the checksum: who has it open.
    static var stateOffset: Int { 64 }

    /// Why bytes are no header.
    enum Flaw: Error, Equatable {
        /// No magic number, a wrong checksum, or what cannot be.
        case damaged
        /// The header of another version of this program.
        case version(UInt32)
    }

    init(size: UInt64, dataOffset: UInt64, pageSize: UInt64, identity: DiskIdentity) {
        self.size = size
        self.dataOffset = dataOffset
        self.pageSize = pageSize
        self.identity = identity
    }

    /// Reads and checks one.
    init(decoding bytes: [UInt8]) throws(Flaw) {
        guard bytes.count >= Self.checkedCount + 16, bytes.starts(with: Self.magic) else {
            throw .damaged
        }
        let version = UInt32(truncatingIfNeeded: Self.word(bytes, 8))
        guard version == Self.version else { throw .version(version) }
        let sum = Self.checksum(bytes.prefix(Self.checkedCount))
        guard Self.word(bytes, Self.checkedCount) == sum else { throw .damaged }
        size = Self.word(bytes, 16)
        dataOffset = Self.word(bytes, 24)
        pageSize = Self.word(bytes, 32)
        identity = DiskIdentity(high: Self.word(bytes, 40), low: Self.word(bytes, 48))
        guard size >= RamDisk.smallestSize, size <= RamDisk.largestSize,
            dataOffset >= Self.byteCount, dataOffset <= 1 << 40,
            pageSize >= 4096, pageSize <= dataOffset, dataOffset % pageSize == 0
        else { throw .damaged }
    }

    /// Its bytes, without the last word.
    var encoded: [UInt8] {
        var bytes = Self.magic
        for number in [
            UInt64(Self.version), size, dataOffset, pageSize, identity.high, identity.low,
        ] {
            bytes += Self.bytes(of: number)
        }
        return bytes + Self.bytes(of: Self.checksum(bytes[...]))
    }

    /// FNV-1a, 64 bits: enough to find out damage, which nobody does on purpose.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    private static func bytes(of number: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    }

    static func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << ($1 * 8) }
    }
}

/// Who has a backing open, and whether it was left in order: the header's last word.
struct BackingState: Equatable {
    /// Whether a server has served it since it was last kept on purpose.
    var isServed: Bool
    /// The process that has it open or died so; 0 for none.
    var process: Int32

    /// Kept on purpose, by a server that has ended.
    static var kept: BackingState { BackingState(isServed: false, process: 0) }

    init(isServed: Bool, process: Int32) {
        self.isServed = isServed
        self.process = process
    }

    /// Reads it from a header's bytes, of which there are enough.
    init(decoding bytes: [UInt8]) {
        let number = BackingHeader.word(bytes, BackingHeader.stateOffset)
        process = Int32(truncatingIfNeeded: number)
        isServed = number >> 32 & 1 == 1
    }

    /// Writes it into a header, at once and whole.
    func store(in header: MemoryRegion) {
        let word = UInt64(UInt32(bitPattern: process)) | (isServed ? 1 << 32 : 0)
        AtomicWords(header).store(BackingHeader.stateOffset / 8, word.littleEndian)
    }
}
