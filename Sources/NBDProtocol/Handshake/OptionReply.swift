/// The type of an option reply (NBD specification, Option reply types).
public struct OptionReplyCode: RawRepresentable, Sendable, Hashable {
    /// The value on the wire.
    public let rawValue: UInt32
    /// Creates a type from its value on the wire, which may be unknown.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The option is done or accepted. `NBD_REP_ACK`
    public static var ack: Self { Self(rawValue: 1) }
    /// One export in a list. `NBD_REP_SERVER`
    public static var server: Self { Self(rawValue: 2) }
    /// One piece of information about an export. `NBD_REP_INFO`
    public static var info: Self { Self(rawValue: 3) }
    /// One metadata context. `NBD_REP_META_CONTEXT`
    public static var metaContext: Self { Self(rawValue: 4) }

    /// The server does not know the option. `NBD_REP_ERR_UNSUP`
    public static var unsupported: Self { Self(rawValue: 1 << 31 | 1) }
    /// The server's policy forbids it. `NBD_REP_ERR_POLICY`
    public static var policy: Self { Self(rawValue: 1 << 31 | 2) }
    /// The option or its data is invalid. `NBD_REP_ERR_INVALID`
    public static var invalid: Self { Self(rawValue: 1 << 31 | 3) }
    /// The server's platform does not support it. `NBD_REP_ERR_PLATFORM`
    public static var platform: Self { Self(rawValue: 1 << 31 | 4) }
    /// The server requires STARTTLS first. `NBD_REP_ERR_TLS_REQD`
    public static var tlsRequired: Self { Self(rawValue: 1 << 31 | 5) }
    /// The export does not exist. `NBD_REP_ERR_UNKNOWN`
    public static var unknownExport: Self { Self(rawValue: 1 << 31 | 6) }
    /// The server is stopping. `NBD_REP_ERR_SHUTDOWN`
    public static var shutdown: Self { Self(rawValue: 1 << 31 | 7) }
    /// The client must ask for block sizes, and respect them. `NBD_REP_ERR_BLOCK_SIZE_REQD`
    public static var blockSizeRequired: Self { Self(rawValue: 1 << 31 | 8) }
    /// The option's data is longer than the server accepts. `NBD_REP_ERR_TOO_BIG`
    public static var tooBig: Self { Self(rawValue: 1 << 31 | 9) }
    /// Extended headers have been negotiated, or must be. `NBD_REP_ERR_EXT_HEADER_REQD`
    public static var extendedHeaderRequired: Self { Self(rawValue: 1 << 31 | 10) }

    /// Whether the type is an error: bit 31 is set.
    public var isError: Bool { rawValue >> 31 == 1 }
}

/// The header of an option reply; its data follows (NBD specification, Fixed newstyle negotiation).
public struct OptionReplyHeader: Sendable, Hashable {
    /// First word of every option reply. `NBD_REP_MAGIC`
    public static var magic: UInt64 { 0x0003_e889_0455_65a9 }
    /// Size on the wire in bytes, without the data.
    public static var encodedSize: Int { 20 }

    /// The option that the reply belongs to.
    public var option: OptionCode
    /// The type of the reply.
    public var code: OptionReplyCode
    /// Length of the data that follows, in bytes.
    public var length: UInt32

    /// Creates a header for a reply with `length` bytes of data.
    public init(option: OptionCode, code: OptionReplyCode, length: UInt32) {
        self.option = option
        self.code = code
        self.length = length
    }

    /// Decodes a header. Returns nil if the magic number is wrong, or if there are too few bytes.
    public init?(decoding bytes: borrowing RawSpan) {
        guard bytes.byteCount >= Self.encodedSize, bytes.bigEndian(at: 0) == Self.magic
        else { return nil }
        option = OptionCode(rawValue: bytes.bigEndian(at: 8))
        code = OptionReplyCode(rawValue: bytes.bigEndian(at: 12))
        length = bytes.bigEndian(at: 16)
    }

    /// The header on the wire.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: Self.magic)
        bytes.append(bigEndian: option.rawValue)
        bytes.append(bigEndian: code.rawValue)
        bytes.append(bigEndian: length)
        return bytes
    }
}
