/// The contents of the file beside an image, `PATH.state`.
///
/// It consists of little-endian words:
///
/// | bytes | content |
/// | --- | --- |
/// | 0–7 | `RDNBDIMG` |
/// | 8–15 | version |
/// | 16–23 | size of the disk in bytes, which is the length of the image |
/// | 24–31 | generation |
/// | 32–39 | time of the save, in seconds since 1970 |
/// | 40–47 | bytes in a chunk |
/// | 48–55 | number of chunks that are not zero |
/// | 56– | for each of these, in ascending order: index, checksum |
/// | last 8 | checksum of all bytes before |
struct ImageState: Equatable, Sendable {
    /// Size of the disk in bytes.
    var size: UInt64
    /// The number of the save. Each has a larger one than the save before.
    var generation: UInt64
    /// Seconds since 1970.
    var savedAt: UInt64
    /// The checksums of chunks, by their index, as ``ChunkBuffer/checksum`` has them. A chunk of zeroes has none.
    var checksums: [UInt64: UInt64]

    /// The version that this program writes, and the only one that it reads; also of the journal.
    static let version: UInt64 = 1
    /// The most bytes of a file that are read as a state: those of a full disk of 64 TiB. A file that is damaged may
    /// have any length, also one for which there is no memory.
    static let longest: UInt64 = 1 << 30
    private static let magic = Array("RDNBDIMG".utf8)
    private static let headCount = 56

    /// The reason why bytes are not a state.
    enum DecodingError: Error, Equatable {
        /// The magic number or the checksum is wrong, or a value is out of range.
        case damaged
        /// The state of another version of this program.
        case version(UInt64)
    }

    init(size: UInt64, generation: UInt64, savedAt: UInt64, checksums: [UInt64: UInt64]) {
        self.size = size
        self.generation = generation
        self.savedAt = savedAt
        self.checksums = checksums
    }

    /// The bytes of the file.
    var encoded: [UInt8] {
        var bytes = Self.magic
        bytes.reserveCapacity(Self.headCount + 16 * checksums.count + 8)
        let head = [
            Self.version, size, generation, savedAt, UInt64(ChunkBuffer.byteCount),
            UInt64(checksums.count),
        ]
        for word in head { bytes.append(littleEndian: word) }
        for (index, checksum) in checksums.sorted(by: { $0.key < $1.key }) {
            bytes.append(littleEndian: index)
            bytes.append(littleEndian: checksum)
        }
        bytes.append(littleEndian: Checksum.of(bytes))
        return bytes
    }

    /// Decodes and checks the bytes of a file.
    init(decoding bytes: [UInt8]) throws(DecodingError) {
        let words = unsafe bytes.span.bytes
        let end = bytes.count - 8
        guard end >= Self.headCount, bytes.starts(with: Self.magic),
            words.littleEndian(at: end) == Checksum.of(words.extracting(first: end), seed: 0)
        else { throw .damaged }
        let version: UInt64 = words.littleEndian(at: 8)
        guard version == Self.version else { throw .version(version) }
        size = words.littleEndian(at: 16)
        generation = words.littleEndian(at: 24)
        savedAt = words.littleEndian(at: 32)
        let count: UInt64 = words.littleEndian(at: 48)
        guard words.littleEndian(at: 40) == UInt64(ChunkBuffer.byteCount), size < 1 << 63,
            // The next save needs a number too.
            (1..<UInt64.max).contains(generation),
            end - Self.headCount == Int(clamping: count).multipliedClamped(by: 16)
        else { throw .damaged }
        checksums = Dictionary(minimumCapacity: Int(count))
        for offset in stride(from: Self.headCount, to: end, by: 16) {
            checksums[words.littleEndian(at: offset)] = words.littleEndian(at: offset + 8)
        }
        guard checksums.count == Int(count) else { throw .damaged }
    }
}

extension Int {
    /// The product, or the largest number when it is larger.
    fileprivate func multipliedClamped(by other: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }
}
