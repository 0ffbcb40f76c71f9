/// An error as it travels (specification: "Error values"). Numbers resemble Linux's, but these are
/// the only ones that may be sent.
@frozen public struct WireError: RawRepresentable, Sendable, Hashable, BitwiseCopyable {
    /// The number as it travels.
    public let rawValue: UInt32
    /// An error from its wire value.
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// No error: the value of a reply to a request that went well.
    @inlinable public static var none: Self { Self(rawValue: 0) }
    /// The export is read-only. `NBD_EPERM`
    @inlinable public static var notPermitted: Self { Self(rawValue: 1) }
    /// The request makes no sense. `NBD_EINVAL`
    @inlinable public static var invalid: Self { Self(rawValue: 22) }
    /// Beyond the end, or no memory left for a sparse disk. `NBD_ENOSPC`
    @inlinable public static var noSpace: Self { Self(rawValue: 28) }
    /// The server is being stopped. `NBD_ESHUTDOWN`
    @inlinable public static var shutdown: Self { Self(rawValue: 108) }
}

extension WireError: CustomStringConvertible {
    /// Its name in the specification, or its number if this server does not send it.
    public var description: String {
        switch self {
        case .none: "none"
        case .notPermitted: "NBD_EPERM"
        case .invalid: "NBD_EINVAL"
        case .noSpace: "NBD_ENOSPC"
        case .shutdown: "NBD_ESHUTDOWN"
        default: "\(rawValue)"
        }
    }
}

/// A simple reply's header (specification: "Simple reply message").
@frozen public struct SimpleReply: Sendable, Hashable, BitwiseCopyable {
    /// First word of every simple reply. `NBD_SIMPLE_REPLY_MAGIC`
    @inlinable public static var magic: UInt32 { 0x6744_6698 }
    /// Bytes on the wire, without a READ's data.
    @inlinable public static var encodedSize: Int { 16 }

    /// How it went.
    public var error: WireError
    /// The request's mark.
    public var cookie: Cookie

    /// A reply to the request with this cookie.
    @inlinable public init(error: WireError = .none, cookie: Cookie) {
        self.error = error
        self.cookie = cookie
    }

    /// Nil when the magic is wrong or the bytes are too few.
    @inlinable @inline(__always)
    public init?(decoding bytes: borrowing RawSpan) {
        guard bytes.byteCount >= Self.encodedSize, bytes.bigEndian(at: 0) == Self.magic
        else { return nil }
        error = WireError(rawValue: bytes.bigEndian(at: 4))
        cookie = UInt64(bigEndian: bytes.bigEndian(at: 8))
    }

    /// Writes the header into the first ``encodedSize`` bytes; traps when there are fewer.
    @inlinable @inline(__always)
    public func encode(into bytes: inout MutableRawSpan) {
        bytes.store(bigEndian: Self.magic, at: 0)
        bytes.store(bigEndian: error.rawValue, at: 4)
        bytes.store(bigEndian: UInt64(bigEndian: cookie), at: 8)
    }
}
