// Answers in chunks: a header for each, and what follows it.
//
// Structured and extended replies differ in the header alone (and in how wide an extent's numbers
// are); what a chunk holds is the same.

/// The type of a chunk (specification: "Structured reply types").
@frozen public struct ChunkType: RawRepresentable, Sendable, Hashable, BitwiseCopyable {
    /// The number as it travels.
    public let rawValue: UInt16
    /// A type from its wire value; unknown ones exist too.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Nothing more to say. `NBD_REPLY_TYPE_NONE`
    @inlinable public static var none: Self { Self(rawValue: 0) }
    /// Bytes from an offset on. `NBD_REPLY_TYPE_OFFSET_DATA`
    @inlinable public static var offsetData: Self { Self(rawValue: 1) }
    /// So many zeroes from an offset on. `NBD_REPLY_TYPE_OFFSET_HOLE`
    @inlinable public static var offsetHole: Self { Self(rawValue: 2) }
    /// Extents with 32-bit numbers. `NBD_REPLY_TYPE_BLOCK_STATUS`
    @inlinable public static var blockStatus: Self { Self(rawValue: 5) }
    /// Extents with 64-bit numbers. `NBD_REPLY_TYPE_BLOCK_STATUS_EXT`
    @inlinable public static var blockStatusExtended: Self { Self(rawValue: 6) }
    /// It did not go well. `NBD_REPLY_TYPE_ERROR`
    @inlinable public static var error: Self { Self(rawValue: 1 << 15 | 1) }
    /// It did not go well at an offset. `NBD_REPLY_TYPE_ERROR_OFFSET`
    @inlinable public static var errorOffset: Self { Self(rawValue: 1 << 15 | 2) }

    /// Whether it is one of the errors: bit 15 is set.
    @inlinable public var isError: Bool { rawValue >> 15 == 1 }
}

/// The header of a chunk (specification: "Structured reply chunk message", "Extended reply chunk
/// message").
@frozen public struct ReplyChunk: Sendable, Hashable, BitwiseCopyable {
    /// First word of every structured chunk. `NBD_STRUCTURED_REPLY_MAGIC`
    @inlinable public static var structuredMagic: UInt32 { 0x668e_33ef }
    /// First word of every extended chunk. `NBD_EXTENDED_REPLY_MAGIC`
    @inlinable public static var extendedMagic: UInt32 { 0x6e8a_278c }
    /// The request's last chunk. `NBD_REPLY_FLAG_DONE`
    @inlinable public static var doneFlag: UInt16 { 1 << 0 }

    /// What follows.
    public var type: ChunkType
    /// Whether this is the request's last chunk.
    public var isLast: Bool
    /// The request's mark.
    public var cookie: Cookie
    /// The request's own offset; only extended chunks carry it.
    public var offset: UInt64
    /// Bytes that follow.
    public var length: UInt64

    /// A header for so many bytes of content.
    @inlinable public init(
        _ type: ChunkType, isLast: Bool, answering request: Request, length: UInt64
    ) {
        self.type = type
        self.isLast = isLast
        cookie = request.cookie
        offset = request.offset
        self.length = length
    }

    /// Nil when the magic is not that of the format, or the bytes are too few.
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

    /// Writes the header into the first bytes, ``HeaderFormat/chunkHeaderSize`` of them; traps when
    /// there are fewer.
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
