/// The number of an option (specification: "Option types").
public struct OptionCode: RawRepresentable, Sendable, Hashable {
    /// The number as it travels.
    public let rawValue: UInt32
    /// A code from its wire value; unknown ones exist too.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Choose an export and start, with no way to be told no. `NBD_OPT_EXPORT_NAME`
    public static var exportName: Self { Self(rawValue: 1) }
    /// End the handshake. `NBD_OPT_ABORT`
    public static var abort: Self { Self(rawValue: 2) }
    /// List the exports. `NBD_OPT_LIST`
    public static var list: Self { Self(rawValue: 3) }
    /// Speak TLS from here on. `NBD_OPT_STARTTLS`
    public static var startTLS: Self { Self(rawValue: 5) }
    /// Describe an export. `NBD_OPT_INFO`
    public static var info: Self { Self(rawValue: 6) }
    /// Describe an export and start. `NBD_OPT_GO`
    public static var go: Self { Self(rawValue: 7) }
    /// Structured replies. `NBD_OPT_STRUCTURED_REPLY`
    public static var structuredReply: Self { Self(rawValue: 8) }
    /// List metadata contexts. `NBD_OPT_LIST_META_CONTEXT`
    public static var listMetaContext: Self { Self(rawValue: 9) }
    /// Choose metadata contexts. `NBD_OPT_SET_META_CONTEXT`
    public static var setMetaContext: Self { Self(rawValue: 10) }
    /// 64-bit lengths. `NBD_OPT_EXTENDED_HEADERS`
    public static var extendedHeaders: Self { Self(rawValue: 11) }
}

/// The fixed part of an option; its data follows (specification: "Newstyle negotiation").
public struct OptionHeader: Sendable, Hashable {
    /// Bytes on the wire, without the data.
    public static var encodedSize: Int { 16 }

    /// Which option.
    public var code: OptionCode
    /// Bytes of data that follow.
    public var length: UInt32

    /// A header for an option with so many bytes of data.
    public init(code: OptionCode, length: UInt32) {
        self.code = code
        self.length = length
    }

    /// Nil when the magic is wrong.
    public init?(decoding bytes: borrowing RawSpan) {
        guard bytes.byteCount >= Self.encodedSize, bytes.bigEndian(at: 0) == Greeting.optionMagic
        else { return nil }
        code = OptionCode(rawValue: bytes.bigEndian(at: 8))
        length = bytes.bigEndian(at: 12)
    }

    /// The header as it travels.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: Greeting.optionMagic)
        bytes.append(bigEndian: code.rawValue)
        bytes.append(bigEndian: length)
        return bytes
    }
}

/// The data of INFO and GO: an export, and what the client wants to know of it
/// (specification: `NBD_OPT_INFO`).
public struct InfoRequest: Sendable, Hashable {
    /// Name of the export; empty means the default one.
    public var exportName: String
    /// Information asked for, in the order asked.
    public var types: [InfoType]

    /// A question about an export.
    public init(exportName: String, types: [InfoType] = []) {
        self.exportName = exportName
        self.types = types
    }

    /// Nil when the lengths do not add up to the data, or the name is no valid string.
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

    /// The data as it travels.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt32(exportName.utf8.count))
        bytes += Array(exportName.utf8)
        bytes.append(bigEndian: UInt16(types.count))
        for type in types { bytes.append(bigEndian: type.rawValue) }
        return bytes
    }
}
