internal import LinuxIO
internal import NBDProtocol

/// What comes next from the server.
struct ReplyHead {
    /// What it says.
    enum Kind {
        /// It went well. In simple replies the data of a READ follows.
        case done
        /// Bytes from an offset on, which follow.
        case data(offset: UInt64, count: Int)
        /// Zeroes from an offset on.
        case hole(offset: UInt64, count: Int)
        /// It did not go well.
        case error(WireError)
    }

    var kind: Kind
    /// Which request it is about.
    var cookie: Cookie
    /// Whether this is all that is said of the request.
    var isLast: Bool
    /// Bytes of the head.
    var size: Int

    /// Reads the head at the start of what has been received; nil when there is more to come.
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

    /// The same for a chunk.
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

    /// Bytes of a chunk that have a fixed place, after its header.
    private static func fixedContent(_ chunk: ReplyChunk) throws(Failure) -> Int {
        switch chunk.type {
        case .none where chunk.length == 0: return 0
        case .offsetData where chunk.length > 8 && chunk.length <= 8 + 64 << 20: return 8
        case .offsetHole where chunk.length == 12: return 12
        case _ where chunk.type.isError && chunk.length >= 6: return 4
        default:
            throw Failure(
                "a chunk of type \(chunk.type.rawValue) and \(chunk.length) bytes makes no sense")
        }
    }

    private static var badMagic: Failure {
        Failure("a reply does not begin with its magic number")
    }
}
