// Replies that go out together: headers of our own, data from where it lies.

internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// The replies of one connection that have not been sent yet. Sent whole by one call, if the socket
/// takes it.
struct ReplyBatch: ~Copyable {
    /// Headers in a batch: a queue of 128 requests, twice.
    private static var headerCount: Int { 256 }
    /// Bytes after which a batch is sent, though more could be added: the client can look at these
    /// while the next are being made. 128 replies of 4 KiB fit, and some of 128 KiB.
    private static var byteLimit: Int { 1 << 20 }

    private let headers: MemoryMapping
    private var vectors = VectorList(capacity: VectorList.maximum)
    private var usedHeaders = 0

    /// An empty batch.
    init() throws(Errno) {
        headers = try MemoryMapping(privateBytes: Self.headerCount * SimpleReply.encodedSize)
    }

    /// Whether there is nothing to send.
    var isEmpty: Bool { vectors.isEmpty }

    /// Whether it has to be sent before another reply is added. A reply is a header and at least one
    /// region, so room for two vectors is wanted.
    @inline(__always)
    var isFull: Bool {
        usedHeaders == Self.headerCount || vectors.room < 2 || vectors.byteCount >= Self.byteLimit
    }

    /// Whether no more data can be added.
    @inline(__always)
    var hasRoomForData: Bool { vectors.room > 0 }

    /// Adds a header; the batch must not be full.
    @inline(__always)
    mutating func append(_ reply: SimpleReply) {
        let slot = headers.region.slice(
            at: usedHeaders &* SimpleReply.encodedSize, count: SimpleReply.encodedSize)
        var span = slot.mutableSpan
        reply.encode(into: &span)
        usedHeaders &+= 1
        vectors.append(slot)
    }

    /// Adds data that belongs to the last header.
    @inline(__always)
    mutating func append(data: MemoryRegion) {
        vectors.append(data)
    }

    /// Sends everything, and waits as long as the client does not read. Nil when it is done.
    mutating func send(to channel: Channel) -> Transfer? {
        while !vectors.isEmpty {
            let transfer = channel.send(vectors)
            guard case .bytes(let count) = transfer else { return transfer }
            vectors.consume(count)
        }
        usedHeaders = 0
        return nil
    }
}
