/// A command (NBD specification, Request types).
@frozen public struct Command: RawRepresentable, Sendable, Hashable, BitwiseCopyable {
    /// The value on the wire.
    public let rawValue: UInt16
    /// Creates a command from its value on the wire, which may be unknown.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Read a range. `NBD_CMD_READ`
    @inlinable public static var read: Self { Self(rawValue: 0) }
    /// Write a range. `NBD_CMD_WRITE`
    @inlinable public static var write: Self { Self(rawValue: 1) }
    /// End the connection; has no reply. `NBD_CMD_DISC`
    @inlinable public static var disconnect: Self { Self(rawValue: 2) }
    /// Persist all earlier writes. `NBD_CMD_FLUSH`
    @inlinable public static var flush: Self { Self(rawValue: 3) }
    /// The range is no longer needed. `NBD_CMD_TRIM`
    @inlinable public static var trim: Self { Self(rawValue: 4) }
    /// The range will be needed soon. `NBD_CMD_CACHE`
    @inlinable public static var cache: Self { Self(rawValue: 5) }
    /// Write zeroes to a range. `NBD_CMD_WRITE_ZEROES`
    @inlinable public static var writeZeroes: Self { Self(rawValue: 6) }
    /// Ask for the status of a range. `NBD_CMD_BLOCK_STATUS`
    @inlinable public static var blockStatus: Self { Self(rawValue: 7) }
}

extension Command: CaseIterable {
    /// The commands of the specification that this package knows, in the order of their values, which
    /// are 0 to 7.
    public static var allCases: [Command] {
        [.read, .write, .disconnect, .flush, .trim, .cache, .writeZeroes, .blockStatus]
    }
}

extension Command: CustomStringConvertible {
    /// The command's name in statistics and reports: `write_zeroes`. `unknown` for a command that is not
    /// one of ``allCases``.
    public var name: String {
        switch self {
        case .read: "read"
        case .write: "write"
        case .disconnect: "disconnect"
        case .flush: "flush"
        case .trim: "trim"
        case .cache: "cache"
        case .writeZeroes: "write_zeroes"
        case .blockStatus: "block_status"
        default: "unknown"
        }
    }

    /// Finds a command by its ``name``.
    public init?(name: String) {
        guard let command = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = command
    }

    /// The command's name in the specification: `NBD_CMD_READ`. An unknown command is shown by its
    /// value.
    public var description: String {
        switch self {
        case .disconnect: "NBD_CMD_DISC"
        case _ where Self.allCases.contains(self): "NBD_CMD_\(name.uppercased())"
        default: "command \(rawValue)"
        }
    }
}

/// Modifiers of a command (NBD specification, Command flags).
@frozen public struct CommandFlags: OptionSet, Sendable, Hashable, BitwiseCopyable {
    /// The flags on the wire.
    public let rawValue: UInt16
    /// Creates flags from their value on the wire.
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Persist before the reply. `NBD_CMD_FLAG_FUA`
    @inlinable public static var forceUnitAccess: Self { Self(rawValue: 1 << 0) }
    /// Keep the space. `NBD_CMD_FLAG_NO_HOLE`
    @inlinable public static var noHole: Self { Self(rawValue: 1 << 1) }
    /// Reply with at most one chunk of content. `NBD_CMD_FLAG_DF`
    @inlinable public static var dontFragment: Self { Self(rawValue: 1 << 2) }
    /// Return one extent. `NBD_CMD_FLAG_REQ_ONE`
    @inlinable public static var requestOne: Self { Self(rawValue: 1 << 3) }
    /// Zero fast or not at all. `NBD_CMD_FLAG_FAST_ZERO`
    @inlinable public static var fastZero: Self { Self(rawValue: 1 << 4) }
    /// The length is that of a payload, which follows. `NBD_CMD_FLAG_PAYLOAD_LEN`
    @inlinable public static var payloadLength: Self { Self(rawValue: 1 << 5) }

    /// Returns the union of both sets. The same as `union(_:)`; see ``isWithin(_:)``.
    @inlinable @inline(__always)
    package func and(_ other: Self) -> Self { Self(rawValue: rawValue | other.rawValue) }

    /// Returns whether every flag is one of the allowed ones. The same as `isSubset(of:)`, for which the
    /// compiler cannot prove that it does not allocate.
    @inlinable @inline(__always)
    package func isWithin(_ allowed: Self) -> Bool { rawValue & ~allowed.rawValue == 0 }
}

/// The client's identifier of a request, which the reply carries back: 64 bits without a meaning for the
/// server.
///
/// The bytes keep their order in memory and are never swapped. Earlier versions of the specification
/// call it a handle.
public typealias Cookie = UInt64

/// The header of a request (NBD specification, Request message).
@frozen public struct Request: Sendable, Hashable, BitwiseCopyable {
    /// First word of every compact request. `NBD_REQUEST_MAGIC`
    @inlinable public static var magic: UInt32 { 0x2560_9513 }
    /// First word of every extended request. `NBD_EXTENDED_REQUEST_MAGIC`
    @inlinable public static var extendedMagic: UInt32 { 0x21e4_1c71 }
    /// Size of a compact request on the wire in bytes, without the data of a WRITE.
    @inlinable public static var encodedSize: Int { 28 }
    /// Size of an extended request on the wire in bytes, without a payload.
    @inlinable public static var extendedSize: Int { 32 }

    /// The modifiers of the command.
    public var flags: CommandFlags
    /// The command.
    public var command: Command
    /// The identifier that the reply must carry.
    public var cookie: Cookie
    /// Offset of the first byte from the start of the export, in bytes.
    public var offset: UInt64
    /// Length of the range in bytes. For a WRITE, also the number of bytes that follow.
    public var length: UInt64

    /// Creates a request. In a compact one, the length has 32 bits.
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

    /// Decodes a header. Returns nil if the magic number is not that of the format, or if there are
    /// too few bytes.
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

    /// Writes the header into the first ``HeaderFormat/requestSize`` bytes; traps if there are fewer.
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
