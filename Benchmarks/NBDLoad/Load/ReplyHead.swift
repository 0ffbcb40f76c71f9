internal import LinuxIO
internal import NBDProtocol

/// The start of a reply in any message format: everything except the data.
struct ReplyHead {
    /// The contents of the reply.
    enum Kind {
        /// The request succeeded. In a simple reply to a READ, the data follows.
        case done
        /// The data from an offset on follows.
        case data(offset: UInt64, count: Int)
        /// There are zeroes from an offset on.
        case hole(offset: UInt64, count: Int)
        /// The request failed.
        case error(WireError)
    }

    var kind: Kind
    /// The cookie of the request.
    var cookie: Cookie
    /// Whether the server sends nothing more about the request.
    var isLast: Bool
    /// Size of the head in bytes.
    var size: Int

    /// Decodes the head at the start of the received bytes. Returns nil if it is incomplete.
    @inline(__always)
    init?(_ input: MemoryRegion, _ format: HeaderFormat) throws(Failure) {
        guard input.count >= SimpleReply.encodedSize else { return nil }
        if format != .extended, let reply = SimpleReply(decoding: input.span) {
            self.init(reply)
            return
        }
        guard format != .simple else { throw Self.badMagic }
        try self.init(chunk: input, format)
    }

    @inline(__always)
    private init(_ reply: SimpleReply) {
        kind = reply.error == .none ? .done : .error(reply.error)
        cookie = reply.cookie
        isLast = true
        size = SimpleReply.encodedSize
    }

    /// Decodes the head of a chunk.
    private init?(chunk input: MemoryRegion, _ format: HeaderFormat) throws(Failure) {
        let start = format.chunkHeaderSize
        guard input.count >= start else { return nil }
        guard let chunk = ReplyChunk(decoding: input.span, as: format) else { throw Self.badMagic }
        let fixed = try Self.fixedContent(chunk)
        guard input.count >= start + fixed else { return nil }
        let content = input.suffix(from: start).span
        switch chunk.type {
        case .offsetData:
            kind = .data(offset: content.bigEndian(at: 0), count: Int(chunk.length) - 8)
        case .offsetHole:
            kind = .hole(
                offset: content.bigEndian(at: 0),
                count: Int(content.bigEndian(at: 8, as: UInt32.self)))
        case .none: kind = .done
        default: kind = .error(WireError(rawValue: content.bigEndian(at: 0)))
        }
        cookie = chunk.cookie
        isLast = chunk.isLast
        size = start + fixed
    }

    /// Returns the size of the fixed part of a chunk's content, in bytes.
    private static func fixedContent(_ chunk: ReplyChunk) throws(Failure) -> Int {
        switch chunk.type {
        case .none where chunk.length == 0: return 0
        case .offsetData where chunk.length > 8 && chunk.length <= 8 + 64 << 20: return 8
        case .offsetHole where chunk.length == 12: return 12
        case _ where chunk.type.isError && chunk.length >= 6: return 4
        default:
            throw Failure(
                "the server sent a chunk of type \(chunk.type.rawValue) with \(chunk.length) bytes, "
                    + "which is not valid")
        }
    }

    private static var badMagic: Failure {
        Failure("a reply does not begin with its magic number")
    }
}
