/// The number of a command (specification: "Request types").
@frozen public struct Command: RawRepresentable, Sendable, Hashable, BitwiseCopyable {
    /// The number as it travels.
    public let rawValue: UInt16
    /// A command from its wire value; unknown ones exist too.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `NBD_CMD_READ`
    @inlinable public static var read: Self { Self(rawValue: 0) }
    /// `NBD_CMD_WRITE`
    @inlinable public static var write: Self { Self(rawValue: 1) }
    /// End the connection; has no reply. `NBD_CMD_DISC`
    @inlinable public static var disconnect: Self { Self(rawValue: 2) }
    /// `NBD_CMD_FLUSH`
    @inlinable public static var flush: Self { Self(rawValue: 3) }
    /// The range is no longer needed. `NBD_CMD_TRIM`
    @inlinable public static var trim: Self { Self(rawValue: 4) }
    /// The range will be needed soon. `NBD_CMD_CACHE`
    @inlinable public static var cache: Self { Self(rawValue: 5) }
    /// `NBD_CMD_WRITE_ZEROES`
    @inlinable public static var writeZeroes: Self { Self(rawValue: 6) }
    /// `NBD_CMD_BLOCK_STATUS`
    @inlinable public static var blockStatus: Self { Self(rawValue: 7) }
}

extension Command: CustomStringConvertible {
    /// Its name in the specification, or its number if it has none.
    public var description: String {
        switch self {
        case .read: "NBD_CMD_READ"
        case .write: "NBD_CMD_WRITE"
        case .disconnect: "NBD_CMD_DISC"
        case .flush: "NBD_CMD_FLUSH"
        case .trim: "NBD_CMD_TRIM"
        case .cache: "NBD_CMD_CACHE"
        case .writeZeroes: "NBD_CMD_WRITE_ZEROES"
        case .blockStatus: "NBD_CMD_BLOCK_STATUS"
        default: "command \(rawValue)"
        }
    }
}

/// How a command is to be done (specification: "Command flags").
@frozen public struct CommandFlags: OptionSet, Sendable, Hashable, BitwiseCopyable {
    /// The flags as they travel.
    public let rawValue: UInt16
    /// Flags from their wire value.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Persist before the reply. `NBD_CMD_FLAG_FUA`
    @inlinable public static var forceUnitAccess: Self { Self(rawValue: 1 << 0) }
    /// Keep the space. `NBD_CMD_FLAG_NO_HOLE`
    @inlinable public static var noHole: Self { Self(rawValue: 1 << 1) }
    /// Answer with at most one chunk of content. `NBD_CMD_FLAG_DF`
    @inlinable public static var dontFragment: Self { Self(rawValue: 1 << 2) }
    /// Tell of one extent. `NBD_CMD_FLAG_REQ_ONE`
    @inlinable public static var requestOne: Self { Self(rawValue: 1 << 3) }
    /// Zero fast or not at all. `NBD_CMD_FLAG_FAST_ZERO`
    @inlinable public static var fastZero: Self { Self(rawValue: 1 << 4) }
    /// The length is that of a payload which follows. `NBD_CMD_FLAG_PAYLOAD_LEN`
    @inlinable public static var payloadLength: Self { Self(rawValue: 1 << 5) }

    /// Both sets of flags. The same as `union(_:)`, for the sake of the same proof as below.
    @inlinable @inline(__always)
    public func and(_ other: Self) -> Self { Self(rawValue: rawValue | other.rawValue) }

    /// Whether there is no flag but these. The same as `isSubset(of:)`, which the compiler cannot
    /// prove to allocate nothing.
    @inlinable @inline(__always)
    public func isWithin(_ allowed: Self) -> Bool { rawValue & ~allowed.rawValue == 0 }
}

/// The client's mark on a request, which its reply carries back: 64 bits that mean nothing here.
///
/// Kept in memory order and never swapped. Earlier texts of the specification call it a handle.
public typealias Cookie = UInt64

/// A request's header (specification: "Request message").
@frozen public struct Request: Sendable, Hashable, BitwiseCopyable {
    /// First word of every compact request. `NBD_REQUEST_MAGIC`
    @inlinable public static var magic: UInt32 { 0x2560_9513 }
    /// First word of every extended request. `NBD_EXTENDED_REQUEST_MAGIC`
    @inlinable public static var extendedMagic: UInt32 { 0x21e4_1c71 }
    /// Bytes of a compact request on the wire, without a WRITE's data.
    @inlinable public static var encodedSize: Int { 28 }
    /// Bytes of an extended request on the wire, without a payload.
    @inlinable public static var extendedSize: Int { 32 }

    /// How to do it.
    public var flags: CommandFlags
    /// What to do.
    public var command: Command
    /// What the reply has to carry.
    public var cookie: Cookie
    /// First byte, counted from the start of the export.
    public var offset: UInt64
    /// Bytes it is about; for WRITE, bytes that follow too.
    public var length: UInt64

    /// A request of these parts. A compact one has 32 bits for the length.
    @inlinable public init(
        _ command: Command, flags: CommandFlags = [], cookie: Cookie = 0, offset: UInt64 = 0,
        length: UInt64 = 0
    ) {
        self.flags = flags
        self.command = command
        self.cookie = cookie
        self.offset = offset
        self.length = length
    }

    /// Nil when the magic is not that of the format, or the bytes are too few.
    @inlinable @inline(__always)
    public init?(decoding bytes: borrowing RawSpan, as format: HeaderFormat = .simple) {
        guard bytes.byteCount >= format.requestSize,
            bytes.bigEndian(at: 0) == (format == .extended ? Self.extendedMagic : Self.magic)
        else { return nil }
        flags = CommandFlags(rawValue: bytes.bigEndian(at: 4))
        command = Command(rawValue: bytes.bigEndian(at: 6))
        cookie = UInt64(bigEndian: bytes.bigEndian(at: 8))
        offset = bytes.bigEndian(at: 16)
        length =
            format == .extended
            ? bytes.bigEndian(at: 24) : UInt64(bytes.bigEndian(at: 24, as: UInt32.self))
    }

    /// Writes the header into the first bytes, ``HeaderFormat/requestSize`` of them; traps when there
    /// are fewer.
    @inlinable @inline(__always)
    public func encode(into bytes: inout MutableRawSpan, as format: HeaderFormat = .simple) {
        bytes.store(bigEndian: format == .extended ? Self.extendedMagic : Self.magic, at: 0)
        bytes.store(bigEndian: flags.rawValue, at: 4)
        bytes.store(bigEndian: command.rawValue, at: 6)
        bytes.store(bigEndian: UInt64(bigEndian: cookie), at: 8)
        bytes.store(bigEndian: offset, at: 16)
        if format == .extended {
            bytes.store(bigEndian: length, at: 24)
        } else {
            bytes.store(bigEndian: UInt32(truncatingIfNeeded: length), at: 24)
        }
    }
}
