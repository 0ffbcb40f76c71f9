/// Handshake flags: what the server supports (NBD specification, Handshake flags).
public struct HandshakeFlags: OptionSet, Sendable, Hashable {
    /// The flags on the wire.
    public let rawValue: UInt16
    /// Creates flags from their value on the wire.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The server replies to options, so the client can send more than one.
    /// `NBD_FLAG_FIXED_NEWSTYLE`
    public static let fixedNewstyle = Self(rawValue: 1 << 0)
    /// The server can omit the 124 zero bytes after EXPORT_NAME. `NBD_FLAG_NO_ZEROES`
    public static let noZeroes = Self(rawValue: 1 << 1)
}

/// Client flags: which of the handshake flags the client accepts (NBD specification, Client flags).
public struct ClientFlags: OptionSet, Sendable, Hashable {
    /// The flags on the wire.
    public let rawValue: UInt32
    /// Creates flags from their value on the wire.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `NBD_FLAG_C_FIXED_NEWSTYLE`
    public static let fixedNewstyle = Self(rawValue: 1 << 0)
    /// `NBD_FLAG_C_NO_ZEROES`
    public static let noZeroes = Self(rawValue: 1 << 1)

    /// Size on the wire, in bytes.
    public static var encodedSize: Int { 4 }
}

/// The server's first message (NBD specification, Newstyle negotiation).
public struct Greeting: Sendable, Hashable {
    /// ASCII "NBDMAGIC". `NBD_INIT_MAGIC`
    public static var magic: UInt64 { 0x4e42_444d_4147_4943 }
    /// ASCII "IHAVEOPT": newstyle, and the first word of every option. `NBD_OPTS_MAGIC`
    public static var optionMagic: UInt64 { 0x4948_4156_454f_5054 }
    /// The word that an oldstyle handshake (before 2012) has in place of ``optionMagic``.
    /// `NBD_CLISERV_MAGIC`
    public static var oldstyleMagic: UInt64 { 0x0000_4202_8186_1253 }
    /// Size on the wire, in bytes.
    public static var encodedSize: Int { 18 }

    /// The features of the server.
    public var flags: HandshakeFlags

    /// Creates a greeting that offers these flags.
    public init(flags: HandshakeFlags) { self.flags = flags }

    /// Decodes a greeting. Returns nil if the bytes are not a newstyle greeting.
    public init?(decoding bytes: borrowing RawSpan) {
        guard bytes.byteCount >= Self.encodedSize,
            bytes.bigEndian(at: 0) == Self.magic,
            bytes.bigEndian(at: 8) == Self.optionMagic
        else { return nil }
        flags = HandshakeFlags(rawValue: bytes.bigEndian(at: 16))
    }

    /// The message on the wire.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: Self.magic)
        bytes.append(bigEndian: Self.optionMagic)
        bytes.append(bigEndian: flags.rawValue)
        return bytes
    }
}
