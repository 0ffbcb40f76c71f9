// The constants of the protocol, a second time. The suite shares none with the server that it tests, so that a
// wrong constant in one of them makes a case fail.

/// Options (NBD specification, Option types).
enum Option {
    static let exportName: UInt32 = 1
    static let abort: UInt32 = 2
    static let list: UInt32 = 3
    static let peekExport: UInt32 = 4
    static let startTLS: UInt32 = 5
    static let info: UInt32 = 6
    static let go: UInt32 = 7
    static let structuredReply: UInt32 = 8
    static let listMetaContext: UInt32 = 9
    static let setMetaContext: UInt32 = 10
    static let extendedHeaders: UInt32 = 11
    /// An undefined value.
    static let unknown: UInt32 = 0x00c0_ffee
}

/// Option reply types (NBD specification, Option reply types).
enum Reply {
    static let ack: UInt32 = 1
    static let server: UInt32 = 2
    static let info: UInt32 = 3
    static let metaContext: UInt32 = 4
    static let unsupported: UInt32 = 0x8000_0001
    static let policy: UInt32 = 0x8000_0002
    static let invalid: UInt32 = 0x8000_0003
    static let platform: UInt32 = 0x8000_0004
    static let tlsRequired: UInt32 = 0x8000_0005
    static let unknownExport: UInt32 = 0x8000_0006
    static let shutdown: UInt32 = 0x8000_0007
    static let blockSizeRequired: UInt32 = 0x8000_0008
    static let tooBig: UInt32 = 0x8000_0009
    static let extendedHeadersRequired: UInt32 = 0x8000_000a
}

/// Information types (NBD specification, `NBD_REP_INFO`).
enum Information {
    static let export: UInt16 = 0
    static let name: UInt16 = 1
    static let description: UInt16 = 2
    static let blockSize: UInt16 = 3
    /// An undefined value.
    static let unknown: UInt16 = 0x4e42
}

/// Handshake flags; the client's have the same bits (NBD specification, Handshake flags).
enum HandshakeFlag {
    static let fixedNewstyle: UInt16 = 1
    static let noZeroes: UInt16 = 2
}

/// Transmission flags (NBD specification, Transmission flags).
public struct ExportFlag: OptionSet, Sendable, Hashable, CustomStringConvertible {
    /// The value on the wire.
    public let rawValue: UInt16
    /// Creates flags from their value on the wire.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `NBD_FLAG_HAS_FLAGS`
    public static let hasFlags = Self(rawValue: 1 << 0)
    /// `NBD_FLAG_READ_ONLY`
    public static let readOnly = Self(rawValue: 1 << 1)
    /// `NBD_FLAG_SEND_FLUSH`
    public static let flush = Self(rawValue: 1 << 2)
    /// `NBD_FLAG_SEND_FUA`
    public static let forceUnitAccess = Self(rawValue: 1 << 3)
    /// `NBD_FLAG_SEND_TRIM`
    public static let trim = Self(rawValue: 1 << 5)
    /// `NBD_FLAG_SEND_WRITE_ZEROES`
    public static let writeZeroes = Self(rawValue: 1 << 6)
    /// `NBD_FLAG_SEND_DF`
    public static let dontFragment = Self(rawValue: 1 << 7)
    /// `NBD_FLAG_CAN_MULTI_CONN`
    public static let multipleConnections = Self(rawValue: 1 << 8)
    /// `NBD_FLAG_SEND_CACHE`
    public static let cache = Self(rawValue: 1 << 10)
    /// `NBD_FLAG_SEND_FAST_ZERO`
    public static let fastZero = Self(rawValue: 1 << 11)
    /// `NBD_FLAG_BLOCK_STATUS_PAYLOAD`
    public static let blockStatusPayload = Self(rawValue: 1 << 12)

    /// The name of a single flag.
    public var description: String {
        switch self {
        case .hasFlags: "NBD_FLAG_HAS_FLAGS"
        case .readOnly: "NBD_FLAG_READ_ONLY"
        case .flush: "NBD_FLAG_SEND_FLUSH"
        case .forceUnitAccess: "NBD_FLAG_SEND_FUA"
        case .trim: "NBD_FLAG_SEND_TRIM"
        case .writeZeroes: "NBD_FLAG_SEND_WRITE_ZEROES"
        case .dontFragment: "NBD_FLAG_SEND_DF"
        case .multipleConnections: "NBD_FLAG_CAN_MULTI_CONN"
        case .cache: "NBD_FLAG_SEND_CACHE"
        case .fastZero: "NBD_FLAG_SEND_FAST_ZERO"
        case .blockStatusPayload: "NBD_FLAG_BLOCK_STATUS_PAYLOAD"
        default: "flags 0x\(String(rawValue, radix: 16))"
        }
    }
}

/// Commands (NBD specification, Request types).
enum Command {
    static let read: UInt16 = 0
    static let write: UInt16 = 1
    static let disconnect: UInt16 = 2
    static let flush: UInt16 = 3
    static let trim: UInt16 = 4
    static let cache: UInt16 = 5
    static let writeZeroes: UInt16 = 6
    static let blockStatus: UInt16 = 7
    /// An undefined value.
    static let unknown: UInt16 = 0x4e42
}

/// Command flags (NBD specification, Command flags).
enum CommandFlag {
    static let forceUnitAccess: UInt16 = 1 << 0
    static let noHole: UInt16 = 1 << 1
    static let dontFragment: UInt16 = 1 << 2
    static let requestOne: UInt16 = 1 << 3
    static let fastZero: UInt16 = 1 << 4
    static let payloadLength: UInt16 = 1 << 5
    /// An undefined value.
    static let unknown: UInt16 = 1 << 14
}

/// Types of reply chunks (NBD specification, Structured reply types).
enum ChunkType {
    static let none: UInt16 = 0
    static let offsetData: UInt16 = 1
    static let offsetHole: UInt16 = 2
    static let blockStatus: UInt16 = 5
    static let blockStatusExtended: UInt16 = 6
    static let error: UInt16 = 0x8001
    static let errorOffset: UInt16 = 0x8002
}

/// Error values (NBD specification, Error values).
enum ErrorValue {
    static let none: UInt32 = 0
    static let notPermitted: UInt32 = 1
    static let io: UInt32 = 5
    static let noMemory: UInt32 = 12
    static let invalid: UInt32 = 22
    static let noSpace: UInt32 = 28
    static let overflow: UInt32 = 75
    static let notSupported: UInt32 = 95
    static let shutdown: UInt32 = 108

    /// All defined values.
    static let all: Set<UInt32> = [
        none, notPermitted, io, noMemory, invalid, noSpace, overflow, notSupported, shutdown,
    ]
}

/// Magic numbers: the first words of messages.
enum Magic {
    static let greeting: UInt64 = 0x4e42_444d_4147_4943
    static let option: UInt64 = 0x4948_4156_454f_5054
    static let optionReply: UInt64 = 0x0003_e889_0455_65a9
    static let request: UInt32 = 0x2560_9513
    static let simpleReply: UInt32 = 0x6744_6698
    static let structuredReply: UInt32 = 0x668e_33ef
    static let extendedRequest: UInt32 = 0x21e4_1c71
    static let extendedReply: UInt32 = 0x6e8a_278c
}
