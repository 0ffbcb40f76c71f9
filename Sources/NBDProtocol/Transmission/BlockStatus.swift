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
    /// The status flags of these bytes; the context defines what they mean.
    public var flags: UInt32

    /// Creates an extent of `length` bytes in any context.
    @inlinable public init(length: UInt64, flags: UInt32) {
        self.length = length
        self.flags = flags
    }

    /// Creates an extent of `length` bytes in `base:allocation`.
    @inlinable public init(length: UInt64, status: AllocationStatus) {
        self.init(length: length, flags: status.rawValue)
    }

    /// Creates an extent of `length` bytes in a dirty bitmap.
    @inlinable public init(length: UInt64, isDirty: Bool) {
        self.init(length: length, flags: isDirty ? 1 : 0)
    }

    /// The flags as those of `base:allocation`.
    @inlinable public var status: AllocationStatus { AllocationStatus(rawValue: flags) }

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
            bytes.store(bigEndian: UInt64(flags), at: offset + 8)
        } else {
            bytes.store(bigEndian: UInt32(truncatingIfNeeded: length), at: offset)
            bytes.store(bigEndian: flags, at: offset + 4)
        }
    }
}

/// Some of the contexts that an export offers, by their indices in its list: 0 to 7.
@frozen public struct ContextSet: Sendable, Hashable, BitwiseCopyable, ExpressibleByArrayLiteral {
    @usableFromInline var bits: UInt8

    /// An empty set.
    @inlinable public init() { bits = 0 }

    /// A set of indices; traps if one of them is above 7.
    @inlinable public init(arrayLiteral indices: Int...) {
        self.init()
        for index in indices { insert(index) }
    }

    /// Whether there is none.
    @inlinable public var isEmpty: Bool { bits == 0 }
    /// How many there are.
    @inlinable public var count: Int { bits.nonzeroBitCount }

    /// Returns whether an index, which may be any number, is in the set.
    @inlinable public func contains(_ index: Int) -> Bool {
        index >= 0 && index < UInt8.bitWidth && bits & 1 << UInt8(truncatingIfNeeded: index) != 0
    }

    /// Adds an index; traps if it is above 7.
    @inlinable public mutating func insert(_ index: Int) {
        precondition(index >= 0 && index < UInt8.bitWidth)
        bits |= 1 << UInt8(truncatingIfNeeded: index)
    }

    /// Removes and returns the lowest index; traps if the set is empty.
    @inlinable public mutating func removeFirst() -> Int {
        precondition(bits != 0)
        let index = bits.trailingZeroBitCount
        bits &= bits &- 1
        return index
    }

    /// The indices, in ascending order.
    public var indices: [Int] { (0..<UInt8.bitWidth).filter { contains($0) } }
}

/// The payload of a BLOCK_STATUS request: some of the contexts that were negotiated (NBD specification,
/// `NBD_CMD_BLOCK_STATUS`).
@frozen public struct ContextSelection: Sendable, Hashable, BitwiseCopyable {
    /// The number of bytes that the request asks about.
    public var effectLength: UInt64
    /// The contexts that the client asks for.
    public var contexts: ContextSet

    /// Returns the size on the wire of a payload that names this many contexts, in bytes.
    @inlinable public static func encodedSize(contexts: Int) -> Int { 8 &+ 4 &* contexts }

    /// Decodes a payload of at least 8 bytes. Returns nil if it names a context that was not negotiated, or
    /// one twice.
    init?(decoding bytes: borrowing RawSpan, negotiated: ContextSet) {
        effectLength = bytes.bigEndian(at: 0)
        contexts = ContextSet()
        var place = 8
        while place < bytes.byteCount {
            let index = Int(bytes.bigEndian(at: place, as: UInt32.self)) &- 1
            guard negotiated.contains(index), !contexts.contains(index) else { return nil }
            contexts.insert(index)
            place &+= 4
        }
    }
}
