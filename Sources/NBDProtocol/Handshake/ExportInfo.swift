/// A kind of information on an export (specification: `NBD_REP_INFO`).
public struct InfoType: RawRepresentable, Sendable, Hashable {
    /// The number as it travels.
    public let rawValue: UInt16
    /// A type from its wire value; unknown ones exist too.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Size and transmission flags; always sent. `NBD_INFO_EXPORT`
    public static var export: Self { Self(rawValue: 0) }
    /// The name that the server itself uses. `NBD_INFO_NAME`
    public static var name: Self { Self(rawValue: 1) }
    /// A text for people. `NBD_INFO_DESCRIPTION`
    public static var description: Self { Self(rawValue: 2) }
    /// Minimum and preferred block size, maximum payload. `NBD_INFO_BLOCK_SIZE`
    public static var blockSize: Self { Self(rawValue: 3) }
}

/// Transmission flags: what an export can do (specification: "Transmission flags").
public struct TransmissionFlags: OptionSet, Sendable, Hashable {
    /// The flags as they travel.
    public let rawValue: UInt16
    /// Flags from their wire value.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Always set. `NBD_FLAG_HAS_FLAGS`
    public static let hasFlags = Self(rawValue: 1 << 0)
    /// Nothing can be written. `NBD_FLAG_READ_ONLY`
    public static let readOnly = Self(rawValue: 1 << 1)
    /// FLUSH is known. `NBD_FLAG_SEND_FLUSH`
    public static let flush = Self(rawValue: 1 << 2)
    /// The FUA flag is known. `NBD_FLAG_SEND_FUA`
    public static let forceUnitAccess = Self(rawValue: 1 << 3)
    /// TRIM is known. `NBD_FLAG_SEND_TRIM`
    public static let trim = Self(rawValue: 1 << 5)
    /// WRITE_ZEROES is known. `NBD_FLAG_SEND_WRITE_ZEROES`
    public static let writeZeroes = Self(rawValue: 1 << 6)
    /// The DF flag is known; only with structured or extended replies. `NBD_FLAG_SEND_DF`
    public static let dontFragment = Self(rawValue: 1 << 7)
    /// Several connections see each other's writes after a FLUSH. `NBD_FLAG_CAN_MULTI_CONN`
    public static let multipleConnections = Self(rawValue: 1 << 8)
    /// CACHE is known. `NBD_FLAG_SEND_CACHE`
    public static let cache = Self(rawValue: 1 << 10)
    /// The FAST_ZERO flag is known. `NBD_FLAG_SEND_FAST_ZERO`
    public static let fastZero = Self(rawValue: 1 << 11)
    /// BLOCK_STATUS may choose among contexts; only with extended headers.
    /// `NBD_FLAG_BLOCK_STATUS_PAYLOAD`
    public static let blockStatusPayload = Self(rawValue: 1 << 12)
}

/// One export as clients see it.
public struct ExportInfo: Sendable, Hashable {
    /// Name to ask for; at most 4096 bytes of UTF-8 without NUL.
    public var name: String
    /// Text for people; the same bounds.
    public var description: String
    /// Size in bytes.
    public var size: UInt64
    /// What it can do.
    public var flags: TransmissionFlags

    /// An export to tell clients of.
    public init(name: String, description: String, size: UInt64, flags: TransmissionFlags) {
        self.name = name
        self.description = description
        self.size = size
        self.flags = flags
    }

    /// Data of `NBD_REP_SERVER`: the name with its length, then the description.
    var listEntry: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt32(name.utf8.count))
        return bytes + Array(name.utf8) + Array(description.utf8)
    }

    /// The same export with flags that depend on what else was agreed on.
    func adding(_ more: TransmissionFlags) -> ExportInfo {
        var info = self
        info.flags.formUnion(more)
        return info
    }

    /// What EXPORT_NAME is answered with: size, flags and, unless it was agreed to leave them out,
    /// 124 zero bytes.
    func exportNameReply(zeroes: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: size)
        bytes.append(bigEndian: flags.rawValue)
        if zeroes { bytes += [UInt8](repeating: 0, count: 124) }
        return bytes
    }

    /// Data of `NBD_REP_INFO` of a type, or nil for a type that is not known here.
    func information(_ type: InfoType) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: type.rawValue)
        switch type {
        case .export:
            bytes.append(bigEndian: size)
            bytes.append(bigEndian: flags.rawValue)
        case .name:
            bytes += Array(name.utf8)
        case .description:
            bytes += Array(description.utf8)
        case .blockSize:
            bytes.append(bigEndian: Limits.minimumBlockSize)
            bytes.append(bigEndian: Limits.preferredBlockSize)
            bytes.append(bigEndian: UInt32(Limits.advertisedPayload))
        default:
            return nil
        }
        return bytes
    }
}
