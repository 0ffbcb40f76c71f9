/// The message format of the transmission phase, as negotiated in the handshake (NBD specification,
/// Transmission).
@frozen public enum HeaderFormat: UInt8, Sendable, Hashable, CaseIterable, BitwiseCopyable {
    /// Compact requests; the server replies to each with one simple reply.
    case simple
    /// Compact requests; the server replies to a READ, and with every error, in chunks.
    /// `NBD_OPT_STRUCTURED_REPLY`
    case structured
    /// Extended requests with 64-bit lengths; every reply is made of extended chunks.
    /// `NBD_OPT_EXTENDED_HEADERS`
    case extended

    /// Size of a request header in bytes, without a payload.
    @inlinable @inline(__always)
    public var requestSize: Int {
        self == .extended ? Request.extendedSize : Request.encodedSize
    }

    /// Size of a chunk header in bytes, without its content.
    @inlinable @inline(__always)
    public var chunkHeaderSize: Int { self == .extended ? 32 : 20 }
}
