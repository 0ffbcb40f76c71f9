/// Handshake flags: what the server can do (specification: "Handshake flags").
public struct HandshakeFlags: OptionSet, Sendable, Hashable {
    /// The flags as they travel.
    public let rawValue: UInt16
    /// Flags from their wire value.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Options are answered, so that more than one can be sent. `NBD_FLAG_FIXED_NEWSTYLE`
    public static let fixedNewstyle = Self(rawValue: 1 << 0)
    /// The 124 zero bytes after EXPORT_NAME can be left out. `NBD_FLAG_NO_ZEROES`
    public static let noZeroes = Self(rawValue: 1 << 1)
}

/// Client flags: which of the handshake flags the client takes up (specification: "Client flags").
public struct ClientFlags: OptionSet, Sendable, Hashable {
    /// The flags as they travel.
    public let rawValue: UInt32
    /// Flags from their wire value.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// `NBD_FLAG_C_FIXED_NEWSTYLE`
    public static let fixedNewstyle = Self(rawValue: 1 << 0)
    /// `NBD_FLAG_C_NO_ZEROES`
    public static let noZeroes = Self(rawValue: 1 << 1)

    /// Bytes on the wire.
    public static var encodedSize: Int { 4 }
}

/// The server's first message (specification: "Newstyle negotiation").
public struct Greeting: Sendable, Hashable {
    /// ASCII "NBDMAGIC". `NBD_INIT_MAGIC`
    public static var magic: UInt64 { 0x4e42_444d_4147_4943 }
    /// ASCII "IHAVEOPT": newstyle, and the first word of every option. `NBD_OPTS_MAGIC`
    public static var optionMagic: UInt64 { 0x4948_4156_454f_5054 }
    /// In its place, what the handshake of before 2012 has. `NBD_CLISERV_MAGIC`
    public static var oldstyleMagic: UInt64 { 0x0000_4202_8186_1253 }
    /// Bytes on the wire.
    public static var encodedSize: Int { 18 }

    /// What the server offers.
    public var flags: HandshakeFlags

    /// A greeting that offers these flags.
    public init(flags: HandshakeFlags) { self.flags = flags }

    /// Nil when the bytes are not a newstyle greeting.
    public init?(decoding bytes: borrowing RawSpan) {
        guard bytes.byteCount >= Self.encodedSize,
            bytes.bigEndian(at: 0) == Self.magic,
            bytes.bigEndian(at: 8) == Self.optionMagic
        else { return nil }
        flags = HandshakeFlags(rawValue: bytes.bigEndian(at: 16))
    }

    /// The message as it travels.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: Self.magic)
        bytes.append(bigEndian: Self.optionMagic)
        bytes.append(bigEndian: flags.rawValue)
        return bytes
    }
}
