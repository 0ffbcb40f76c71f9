/// Metadata contexts (specification: "Metadata querying").
public enum MetadataContext {
    /// Which parts are holes, and which read as zeroes; the one context of this server.
    public static var allocation: String { "base:allocation" }
    /// The number that stands for it in this server's replies.
    @inlinable public static var allocationIdentifier: UInt32 { 1 }
}

/// The status of an extent in `base:allocation` (specification: "`base:allocation` metadata
/// context").
@frozen public struct AllocationStatus: OptionSet, Sendable, Hashable, BitwiseCopyable {
    /// The flags as they travel.
    public let rawValue: UInt32
    /// Flags from their wire value.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Nothing is stored there. `NBD_STATE_HOLE`
    @inlinable public static var hole: Self { Self(rawValue: 1 << 0) }
    /// It reads as zeroes. `NBD_STATE_ZERO`
    @inlinable public static var zero: Self { Self(rawValue: 1 << 1) }
    /// Both: an empty page.
    @inlinable public static var empty: Self { Self(rawValue: 3) }
    /// Neither: there may be data.
    @inlinable public static var data: Self { Self(rawValue: 0) }
}

/// One extent of a reply: so many bytes with one status (specification: `NBD_REPLY_TYPE_BLOCK_STATUS`,
/// `NBD_REPLY_TYPE_BLOCK_STATUS_EXT`).
@frozen public struct Extent: Sendable, Hashable, BitwiseCopyable {
    /// In bytes; not zero.
    public var length: UInt64
    /// What can be said of them.
    public var status: AllocationStatus

    /// An extent of so many bytes.
    @inlinable public init(length: UInt64, status: AllocationStatus) {
        self.length = length
        self.status = status
    }

    /// Bytes on the wire.
    @inlinable public static func encodedSize(_ format: HeaderFormat) -> Int {
        format == .extended ? 16 : 8
    }

    /// Bytes in a status chunk before the first extent: the context's number, and in an extended
    /// chunk how many extents follow.
    @inlinable public static func prefixSize(_ format: HeaderFormat) -> Int {
        format == .extended ? 8 : 4
    }

    /// Writes it at an offset; traps when there is not the room.
    @inlinable
    public func encode(
        into bytes: inout MutableRawSpan, at offset: Int, as format: HeaderFormat
    ) {
        if format == .extended {
            bytes.store(bigEndian: length, at: offset)
            bytes.store(bigEndian: UInt64(status.rawValue), at: offset + 8)
        } else {
            bytes.store(bigEndian: UInt32(truncatingIfNeeded: length), at: offset)
            bytes.store(bigEndian: status.rawValue, at: offset + 4)
        }
    }
}

/// The payload that a BLOCK_STATUS may have, with one context chosen: more there cannot be without
/// naming one twice (specification: `NBD_CMD_BLOCK_STATUS`).
@frozen public struct ContextSelection: Sendable, Hashable, BitwiseCopyable {
    /// Bytes on the wire.
    @inlinable public static var encodedSize: Int { 12 }

    /// Bytes that the request is about.
    public var effectLength: UInt64
    /// The context that is asked for.
    public var identifier: UInt32

    /// Reads the first ``encodedSize`` bytes; traps when there are fewer.
    @inlinable
    public init(decoding bytes: borrowing RawSpan) {
        effectLength = bytes.bigEndian(at: 0)
        identifier = bytes.bigEndian(at: 8)
    }
}
