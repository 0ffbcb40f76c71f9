/// The type of a chunk (NBD specification, Structured reply types).
@frozen public struct ChunkType: RawRepresentable, Sendable, Hashable, BitwiseCopyable {
    /// The value on the wire.
    public let rawValue: UInt16
    /// Creates a type from its value on the wire, which may be unknown.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// No content. `NBD_REPLY_TYPE_NONE`
    @inlinable public static var none: Self { Self(rawValue: 0) }
    /// An offset, and the data from there on. `NBD_REPLY_TYPE_OFFSET_DATA`
    @inlinable public static var offsetData: Self { Self(rawValue: 1) }
    /// An offset, and the number of zeroes from there on. `NBD_REPLY_TYPE_OFFSET_HOLE`
    @inlinable public static var offsetHole: Self { Self(rawValue: 2) }
    /// Extents with 32-bit fields. `NBD_REPLY_TYPE_BLOCK_STATUS`
    @inlinable public static var blockStatus: Self { Self(rawValue: 5) }
    /// Extents with 64-bit fields. `NBD_REPLY_TYPE_BLOCK_STATUS_EXT`
    @inlinable public static var blockStatusExtended: Self { Self(rawValue: 6) }
    /// The request failed. `NBD_REPLY_TYPE_ERROR`
    @inlinable public static var error: Self { Self(rawValue: 1 << 15 | 1) }
    /// The request failed at an offset. `NBD_REPLY_TYPE_ERROR_OFFSET`
    @inlinable public static var errorOffset: Self { Self(rawValue: 1 << 15 | 2) }

    /// Whether the type is an error: bit 15 is set.
    @inlinable public var isError: Bool { rawValue >> 15 == 1 }
}

/// The header of a chunk (NBD specification, Structured reply chunk message and Extended reply chunk
/// message).
///
/// Structured and extended replies differ in the header, and in the width of an extent's fields. The
/// content of a chunk is the same otherwise.
@frozen public struct ReplyChunk: Sendable, Hashable, BitwiseCopyable {
    /// First word of every structured chunk. `NBD_STRUCTURED_REPLY_MAGIC`
    @inlinable public static var structuredMagic: UInt32 { 0x668e_33ef }
    /// First word of every extended chunk. `NBD_EXTENDED_REPLY_MAGIC`
    @inlinable public static var extendedMagic: UInt32 { 0x6e8a_278c }
    /// The flag of the request's last chunk. `NBD_REPLY_FLAG_DONE`
    @inlinable public static var doneFlag: UInt16 { 1 << 0 }

    /// The type of the content.
    public var type: ChunkType
    /// Whether this is the request's last chunk.
    public var isLast: Bool
    /// The cookie of the request.
    public var cookie: Cookie
    /// The offset of the request. Only extended chunks carry it.
    public var offset: UInt64
    /// Size of the content in bytes.
    public var length: UInt64

    /// Creates a header for `length` bytes of content.
    @inlinable public init(
        _ type: ChunkType, isLast: Bool, answering request: Request, length: UInt64
    ) {
        self.type = type
        self.isLast = isLast
        cookie = request.cookie
        offset = request.offset
        self.length = length
    }

    /// Decodes a header. Returns nil if the magic number is not that of the format, or if there are
    /// too few bytes.
    @inlinable @inline(__always)
    public init?(decoding bytes: borrowing RawSpan, as format: HeaderFormat) {
        guard bytes.byteCount >= format.chunkHeaderSize,
            bytes.bigEndian(at: 0) == Self.magic(of: format)
        else { return nil }
        isLast = bytes.bigEndian(at: 4, as: UInt16.self) & Self.doneFlag != 0
        type = ChunkType(rawValue: bytes.bigEndian(at: 6))
        cookie = UInt64(bigEndian: bytes.bigEndian(at: 8))
        if format == .extended {
            offset = bytes.bigEndian(at: 16)
            length = bytes.bigEndian(at: 24)
        } else {
            offset = 0
            length = UInt64(bytes.bigEndian(at: 16, as: UInt32.self))
        }
    }

    /// Writes the header into the first ``HeaderFormat/chunkHeaderSize`` bytes; traps if there are
    /// fewer.
    @inlinable @inline(__always)
    public func encode(into bytes: inout MutableRawSpan, as format: HeaderFormat) {
        bytes.store(bigEndian: Self.magic(of: format), at: 0)
        bytes.store(bigEndian: isLast ? Self.doneFlag : 0, at: 4)
        bytes.store(bigEndian: type.rawValue, at: 6)
        bytes.store(bigEndian: UInt64(bigEndian: cookie), at: 8)
        if format == .extended {
            bytes.store(bigEndian: offset, at: 16)
            bytes.store(bigEndian: length, at: 24)
        } else {
            bytes.store(bigEndian: UInt32(truncatingIfNeeded: length), at: 16)
        }
    }

    @inlinable @inline(__always)
    static func magic(of format: HeaderFormat) -> UInt32 {
        format == .extended ? extendedMagic : structuredMagic
    }
}
