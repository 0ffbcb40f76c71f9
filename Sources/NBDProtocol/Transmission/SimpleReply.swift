/// An error on the wire (NBD specification, Error values). The values resemble Linux's `errno`, but
/// only those listed here may be sent.
@frozen public struct WireError: RawRepresentable, Sendable, Hashable, BitwiseCopyable {
    /// The value on the wire.
    public let rawValue: UInt32
    /// Creates an error from its value on the wire, which may be unknown.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// No error: the value in a reply to a request that succeeded.
    @inlinable public static var none: Self { Self(rawValue: 0) }
    /// The export is read-only. `NBD_EPERM`
    @inlinable public static var notPermitted: Self { Self(rawValue: 1) }
    /// An input/output error. `NBD_EIO`
    @inlinable public static var inputOutput: Self { Self(rawValue: 5) }
    /// The server cannot allocate memory for the request. `NBD_ENOMEM`
    @inlinable public static var noMemory: Self { Self(rawValue: 12) }
    /// The request is malformed or not allowed. `NBD_EINVAL`
    @inlinable public static var invalid: Self { Self(rawValue: 22) }
    /// Beyond the end, or no memory left for a sparse disk. `NBD_ENOSPC`
    @inlinable public static var noSpace: Self { Self(rawValue: 28) }
    /// The reply would not fit into one chunk. `NBD_EOVERFLOW`
    @inlinable public static var overflow: Self { Self(rawValue: 75) }
    /// The server does not support it, such as fast zeroing. `NBD_ENOTSUP`
    @inlinable public static var notSupported: Self { Self(rawValue: 95) }
    /// The server is stopping. `NBD_ESHUTDOWN`
    @inlinable public static var shutdown: Self { Self(rawValue: 108) }
}

extension WireError: CaseIterable {
    /// The errors of the specification, in the order of their values, after ``none``.
    public static var allCases: [WireError] {
        [
            .none, .notPermitted, .inputOutput, .noMemory, .invalid, .noSpace, .overflow,
            .notSupported, .shutdown,
        ]
    }
}

extension WireError: CustomStringConvertible {
    /// The error's name in the specification, without its prefix: `EINVAL`. `none` for no error, and
    /// the value for an error that the specification does not have.
    public var name: String {
        switch self {
        case .none: "none"
        case .notPermitted: "EPERM"
        case .inputOutput: "EIO"
        case .noMemory: "ENOMEM"
        case .invalid: "EINVAL"
        case .noSpace: "ENOSPC"
        case .overflow: "EOVERFLOW"
        case .notSupported: "ENOTSUP"
        case .shutdown: "ESHUTDOWN"
        default: "\(rawValue)"
        }
    }

    /// The error's name in the specification: `NBD_EINVAL`. `none` for no error, and the value for an
    /// error that the specification does not have.
    public var description: String {
        name.hasPrefix("E") ? "NBD_\(name)" : name
    }
}

/// The header of a simple reply (NBD specification, Simple reply message).
@frozen public struct SimpleReply: Sendable, Hashable, BitwiseCopyable {
    /// First word of every simple reply. `NBD_SIMPLE_REPLY_MAGIC`
    @inlinable public static var magic: UInt32 { 0x6744_6698 }
    /// Size on the wire in bytes, without the data of a READ.
    @inlinable public static var encodedSize: Int { 16 }

    /// The error, or ``WireError/none`` if the request succeeded.
    public var error: WireError
    /// The cookie of the request.
    public var cookie: Cookie

    /// Creates a reply to the request with this cookie.
    @inlinable public init(error: WireError = .none, cookie: Cookie) {
        self.error = error
        self.cookie = cookie
    }

    /// Decodes a header. Returns nil if the magic number is wrong, or if there are too few bytes.
    @inlinable @inline(__always)
    public init?(decoding bytes: borrowing RawSpan) {
        guard bytes.byteCount >= Self.encodedSize, bytes.bigEndian(at: 0) == Self.magic
        else { return nil }
        error = WireError(rawValue: bytes.bigEndian(at: 4))
        cookie = UInt64(bigEndian: bytes.bigEndian(at: 8))
    }

    /// Writes the header into the first ``encodedSize`` bytes; traps if there are fewer.
    @inlinable @inline(__always)
    public func encode(into bytes: inout MutableRawSpan) {
        bytes.store(bigEndian: Self.magic, at: 0)
        bytes.store(bigEndian: error.rawValue, at: 4)
        bytes.store(bigEndian: UInt64(bigEndian: cookie), at: 8)
    }
}
