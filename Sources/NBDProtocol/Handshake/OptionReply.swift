/// The kind of an option reply (specification: "Option reply types").
public struct OptionReplyCode: RawRepresentable, Sendable, Hashable {
    /// The number as it travels.
    public let rawValue: UInt32
    /// A code from its wire value; unknown ones exist too.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Done, or accepted. `NBD_REP_ACK`
    public static var ack: Self { Self(rawValue: 1) }
    /// One export of a list. `NBD_REP_SERVER`
    public static var server: Self { Self(rawValue: 2) }
    /// One piece of information on an export. `NBD_REP_INFO`
    public static var info: Self { Self(rawValue: 3) }
    /// One metadata context. `NBD_REP_META_CONTEXT`
    public static var metaContext: Self { Self(rawValue: 4) }

    /// The server does not know the option. `NBD_REP_ERR_UNSUP`
    public static var unsupported: Self { Self(rawValue: 1 << 31 | 1) }
    /// The server's policy forbids it. `NBD_REP_ERR_POLICY`
    public static var policy: Self { Self(rawValue: 1 << 31 | 2) }
    /// The option, or its data, makes no sense. `NBD_REP_ERR_INVALID`
    public static var invalid: Self { Self(rawValue: 1 << 31 | 3) }
    /// The server's platform cannot do it. `NBD_REP_ERR_PLATFORM`
    public static var platform: Self { Self(rawValue: 1 << 31 | 4) }
    /// Nothing but STARTTLS before TLS. `NBD_REP_ERR_TLS_REQD`
    public static var tlsRequired: Self { Self(rawValue: 1 << 31 | 5) }
    /// There is no such export. `NBD_REP_ERR_UNKNOWN`
    public static var unknownExport: Self { Self(rawValue: 1 << 31 | 6) }
    /// The server is being stopped. `NBD_REP_ERR_SHUTDOWN`
    public static var shutdown: Self { Self(rawValue: 1 << 31 | 7) }
    /// The client has to ask for block sizes, and heed them. `NBD_REP_ERR_BLOCK_SIZE_REQD`
    public static var blockSizeRequired: Self { Self(rawValue: 1 << 31 | 8) }
    /// The option's data is longer than the server looks at. `NBD_REP_ERR_TOO_BIG`
    public static var tooBig: Self { Self(rawValue: 1 << 31 | 9) }
    /// Extended headers have been agreed on, or have to be. `NBD_REP_ERR_EXT_HEADER_REQD`
    public static var extendedHeaderRequired: Self { Self(rawValue: 1 << 31 | 10) }

    /// Whether it is one of the errors: bit 31 is set.
    public var isError: Bool { rawValue >> 31 == 1 }
}

/// The fixed part of an option reply; its data follows (specification: "Fixed newstyle negotiation").
public struct OptionReplyHeader: Sendable, Hashable {
    /// First word of every option reply. `NBD_REP_MAGIC`
    public static var magic: UInt64 { 0x0003_e889_0455_65a9 }
    /// Bytes on the wire, without the data.
    public static var encodedSize: Int { 20 }

    /// The option that is answered.
    public var option: OptionCode
    /// What the answer is.
    public var code: OptionReplyCode
    /// Bytes of data that follow.
    public var length: UInt32

    /// A header for an answer with so many bytes of data.
    public init(option: OptionCode, code: OptionReplyCode, length: UInt32) {
        self.option = option
        self.code = code
        self.length = length
    }

    /// Nil when the magic is wrong.
    public init?(decoding bytes: borrowing RawSpan) {
        guard bytes.byteCount >= Self.encodedSize, bytes.bigEndian(at: 0) == Self.magic
        else { return nil }
        option = OptionCode(rawValue: bytes.bigEndian(at: 8))
        code = OptionReplyCode(rawValue: bytes.bigEndian(at: 12))
        length = bytes.bigEndian(at: 16)
    }

    /// The header as it travels.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: Self.magic)
        bytes.append(bigEndian: option.rawValue)
        bytes.append(bigEndian: code.rawValue)
        bytes.append(bigEndian: length)
        return bytes
    }
}
