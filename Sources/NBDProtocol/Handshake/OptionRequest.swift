/// An option (NBD specification, Option types).
public struct OptionCode: RawRepresentable, Sendable, Hashable {
    /// The value on the wire.
    public let rawValue: UInt32
    /// Creates an option from its value on the wire, which may be unknown.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Choose an export and start transmission; the server cannot reply with an error.
    /// `NBD_OPT_EXPORT_NAME`
    public static var exportName: Self { Self(rawValue: 1) }
    /// End the handshake. `NBD_OPT_ABORT`
    public static var abort: Self { Self(rawValue: 2) }
    /// List the exports. `NBD_OPT_LIST`
    public static var list: Self { Self(rawValue: 3) }
    /// Switch to TLS. `NBD_OPT_STARTTLS`
    public static var startTLS: Self { Self(rawValue: 5) }
    /// Describe an export. `NBD_OPT_INFO`
    public static var info: Self { Self(rawValue: 6) }
    /// Describe an export and start transmission. `NBD_OPT_GO`
    public static var go: Self { Self(rawValue: 7) }
    /// Use structured replies. `NBD_OPT_STRUCTURED_REPLY`
    public static var structuredReply: Self { Self(rawValue: 8) }
    /// List metadata contexts. `NBD_OPT_LIST_META_CONTEXT`
    public static var listMetaContext: Self { Self(rawValue: 9) }
    /// Select metadata contexts. `NBD_OPT_SET_META_CONTEXT`
    public static var setMetaContext: Self { Self(rawValue: 10) }
    /// Use extended headers, with 64-bit lengths. `NBD_OPT_EXTENDED_HEADERS`
    public static var extendedHeaders: Self { Self(rawValue: 11) }
}

/// The header of an option; its data follows (NBD specification, Newstyle negotiation).
public struct OptionHeader: Sendable, Hashable {
    /// Size on the wire in bytes, without the data.
    public static var encodedSize: Int { 16 }

    /// The option.
    public var code: OptionCode
    /// Length of the data that follows, in bytes.
    public var length: UInt32

    /// Creates a header for an option with `length` bytes of data.
    public init(code: OptionCode, length: UInt32) {
        self.code = code
        self.length = length
    }

    /// Decodes a header. Returns nil if the magic number is wrong, or if there are too few bytes.
    public init?(decoding bytes: borrowing RawSpan) {
        guard bytes.byteCount >= Self.encodedSize, bytes.bigEndian(at: 0) == Greeting.optionMagic
        else { return nil }
        code = OptionCode(rawValue: bytes.bigEndian(at: 8))
        length = bytes.bigEndian(at: 12)
    }

    /// The header on the wire.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: Greeting.optionMagic)
        bytes.append(bigEndian: code.rawValue)
        bytes.append(bigEndian: length)
        return bytes
    }
}

/// The data of INFO and GO: an export, and the information that the client asks for (NBD specification,
/// `NBD_OPT_INFO`).
public struct InfoRequest: Sendable, Hashable {
    /// Name of the export; empty for the default one.
    public var exportName: String
    /// The information that the client asks for, in its order.
    public var types: [InfoType]

    /// Creates a request for information about an export.
    public init(exportName: String, types: [InfoType] = []) {
        self.exportName = exportName
        self.types = types
    }

    /// Decodes a request. Returns nil if the lengths do not add up to the data, or if the name is
    /// invalid.
    public init?(decoding data: [UInt8]) {
        var reader = ByteReader(data)
        guard let nameLength = reader.number(as: UInt32.self),
            let name = reader.string(Int(nameLength)),
            let count = reader.number(as: UInt16.self),
            reader.remaining == 2 * Int(count)
        else { return nil }
        exportName = name
        types = []
        while let type = reader.number(as: UInt16.self) { types.append(InfoType(rawValue: type)) }
    }

    /// The data on the wire.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt32(exportName.utf8.count))
        bytes += Array(exportName.utf8)
        bytes.append(bigEndian: UInt16(types.count))
        for type in types { bytes.append(bigEndian: type.rawValue) }
        return bytes
    }
}
