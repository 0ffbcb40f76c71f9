/// A type of information about an export (NBD specification, `NBD_REP_INFO`).
public struct InfoType: RawRepresentable, Sendable, Hashable {
    /// The value on the wire.
    public let rawValue: UInt16
    /// Creates a type from its value on the wire, which may be unknown.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Size and transmission flags; the server always sends it. `NBD_INFO_EXPORT`
    public static var export: Self { Self(rawValue: 0) }
    /// The canonical name of the export. `NBD_INFO_NAME`
    public static var name: Self { Self(rawValue: 1) }
    /// A description for people. `NBD_INFO_DESCRIPTION`
    public static var description: Self { Self(rawValue: 2) }
    /// Minimum and preferred block size, maximum payload. `NBD_INFO_BLOCK_SIZE`
    public static var blockSize: Self { Self(rawValue: 3) }
}

/// Transmission flags: what an export supports (NBD specification, Transmission flags).
public struct TransmissionFlags: OptionSet, Sendable, Hashable {
    /// The flags on the wire.
    public let rawValue: UInt16
    /// Creates flags from their value on the wire.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Always set. `NBD_FLAG_HAS_FLAGS`
    public static let hasFlags = Self(rawValue: 1 << 0)
    /// The export is read-only. `NBD_FLAG_READ_ONLY`
    public static let readOnly = Self(rawValue: 1 << 1)
    /// The server supports FLUSH. `NBD_FLAG_SEND_FLUSH`
    public static let flush = Self(rawValue: 1 << 2)
    /// The server supports the FUA flag. `NBD_FLAG_SEND_FUA`
    public static let forceUnitAccess = Self(rawValue: 1 << 3)
    /// The server supports TRIM. `NBD_FLAG_SEND_TRIM`
    public static let trim = Self(rawValue: 1 << 5)
    /// The server supports WRITE_ZEROES. `NBD_FLAG_SEND_WRITE_ZEROES`
    public static let writeZeroes = Self(rawValue: 1 << 6)
    /// The server supports the DF flag; only with structured or extended replies.
    /// `NBD_FLAG_SEND_DF`
    public static let dontFragment = Self(rawValue: 1 << 7)
    /// After a FLUSH, writes of one connection are visible to all others.
    /// `NBD_FLAG_CAN_MULTI_CONN`
    public static let multipleConnections = Self(rawValue: 1 << 8)
    /// The server supports CACHE. `NBD_FLAG_SEND_CACHE`
    public static let cache = Self(rawValue: 1 << 10)
    /// The server supports the FAST_ZERO flag. `NBD_FLAG_SEND_FAST_ZERO`
    public static let fastZero = Self(rawValue: 1 << 11)
    /// BLOCK_STATUS may select contexts; only with extended headers.
    /// `NBD_FLAG_BLOCK_STATUS_PAYLOAD`
    public static let blockStatusPayload = Self(rawValue: 1 << 12)
}

/// An export as a server describes it to clients.
public struct ExportInfo: Sendable, Hashable {
    /// The name that clients ask for: at most 4096 bytes of UTF-8 without NUL.
    public var name: String
    /// A description for people, within the same limits.
    public var description: String
    /// Size in bytes.
    public var size: UInt64
    /// Its features.
    public var flags: TransmissionFlags
    /// The metadata contexts that clients can select, ``Limits/contextCount`` at most, in the order in which
    /// they are listed.
    public let contexts: [MetadataContext]

    /// Creates the description of an export; traps if it has too many contexts.
    public init(
        name: String, description: String, size: UInt64, flags: TransmissionFlags,
        contexts: [MetadataContext] = [.allocation]
    ) {
        precondition(contexts.count <= Limits.contextCount)
        self.contexts = contexts
        self.name = name
        self.description = description
        self.size = size
        self.flags = flags
    }

    /// The data of `NBD_REP_SERVER`: the length of the name, the name, and the description.
    var listEntry: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt32(name.utf8.count))
        return bytes + Array(name.utf8) + Array(description.utf8)
    }

    /// Returns the export with additional flags, which depend on what else was negotiated.
    func adding(_ more: TransmissionFlags) -> ExportInfo {
        var info = self
        info.flags.formUnion(more)
        return info
    }

    /// Returns the reply to EXPORT_NAME: size, flags and, unless both sides agreed to omit them, 124
    /// zero bytes.
    func exportNameReply(zeroes: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: size)
        bytes.append(bigEndian: flags.rawValue)
        if zeroes { bytes += [UInt8](repeating: 0, count: 124) }
        return bytes
    }

    /// Returns the data of `NBD_REP_INFO` of a type, or nil for an unknown type.
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
