/// The messages of the transmission phase, as the handshake has agreed on them (specification:
/// "Transmission").
@frozen public enum HeaderFormat: UInt8, Sendable, Hashable, BitwiseCopyable {
    /// Compact requests; each is answered with one simple reply.
    case simple
    /// Compact requests; a READ is answered in chunks, and so is every error.
    /// `NBD_OPT_STRUCTURED_REPLY`
    case structured
    /// Extended requests with 64-bit lengths; everything is answered in extended chunks.
    /// `NBD_OPT_EXTENDED_HEADERS`
    case extended

    /// Bytes of a request's header, without a payload.
    @inlinable @inline(__always)
    public var requestSize: Int {
        self == .extended ? Request.extendedSize : Request.encodedSize
    }

    /// Bytes of a chunk's header, without its content.
    @inlinable @inline(__always)
    public var chunkHeaderSize: Int { self == .extended ? 32 : 20 }
}
