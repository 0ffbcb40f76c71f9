/// Metadata contexts (NBD specification, Metadata querying).
public enum MetadataContext {
    /// The context that says which parts of an export are holes, and which read as zeroes. It is the
    /// only one that this server has.
    public static var allocation: String { "base:allocation" }
    /// The identifier of ``allocation`` in this server's replies.
    @inlinable public static var allocationIdentifier: UInt32 { 1 }
}

/// The status of an extent in `base:allocation` (NBD specification, `base:allocation` metadata
/// context).
@frozen public struct AllocationStatus: OptionSet, Sendable, Hashable, BitwiseCopyable {
    /// The flags on the wire.
    public let rawValue: UInt32
    /// Creates a status from its value on the wire.
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

/// One extent of a reply to BLOCK_STATUS: consecutive bytes with the same status (NBD specification,
/// `NBD_REPLY_TYPE_BLOCK_STATUS` and `NBD_REPLY_TYPE_BLOCK_STATUS_EXT`).
@frozen public struct Extent: Sendable, Hashable, BitwiseCopyable {
    /// Length in bytes; not zero.
    public var length: UInt64
    /// The status of these bytes.
    public var status: AllocationStatus

    /// Creates an extent of `length` bytes.
    @inlinable public init(length: UInt64, status: AllocationStatus) {
        self.length = length
        self.status = status
    }

    /// Returns the size of an extent on the wire, in bytes.
    @inlinable public static func encodedSize(_ format: HeaderFormat) -> Int {
        format == .extended ? 16 : 8
    }

    /// Returns the number of bytes in a status chunk before the first extent: the identifier of the
    /// context, and in an extended chunk the number of extents.
    @inlinable public static func prefixSize(_ format: HeaderFormat) -> Int {
        format == .extended ? 8 : 4
    }

    /// Writes the extent at an offset; traps if there is not enough room.
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

/// The payload of a BLOCK_STATUS request when one context was negotiated. A longer payload would have
/// to name a context twice (NBD specification, `NBD_CMD_BLOCK_STATUS`).
@frozen public struct ContextSelection: Sendable, Hashable, BitwiseCopyable {
    /// Size on the wire, in bytes.
    @inlinable public static var encodedSize: Int { 12 }

    /// The number of bytes that the request asks about.
    public var effectLength: UInt64
    /// The context that the client asks for.
    public var identifier: UInt32

    /// Decodes the first ``encodedSize`` bytes; traps if there are fewer.
    @inlinable
    public init(decoding bytes: borrowing RawSpan) {
        effectLength = bytes.bigEndian(at: 0)
        identifier = bytes.bigEndian(at: 8)
    }
}
