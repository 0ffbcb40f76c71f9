internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// The replies of one connection that have not been sent yet. Sent whole by one call, if the socket
/// takes it.
struct ReplyBatch: ~Copyable {
    /// Replies in a batch: a queue of 128 requests, twice.
    private static var mostReplies: Int { 256 }
    /// Bytes after which a batch is sent, though more could be added: the client can look at these
    /// while the next are being made. 128 replies of 4 KiB fit, and some of 128 KiB.
    private static var byteLimit: Int { 1 << 20 }
    /// Bytes of headers, messages and extents. Only what is used takes up memory: 256 simple replies
    /// are 4 KiB, and a block status of some thousand extents is all of it.
    private static var ownMemory: Int { 64 << 10 }
    /// The longest thing that goes there in one piece, but for extents: an error with its text.
    private static var longestHeader: Int { 32 + 6 + RequestError.longestExplanation + 8 }
    /// Room below which a list of extents is not begun.
    private static var leastExtentRoom: Int { 8 << 10 }

    /// The messages that the handshake has agreed on.
    let format: HeaderFormat
    private let memory: MemoryMapping
    private var vectors = VectorList(capacity: VectorList.maximum)
    private var used = 0
    private var replyCount = 0

    /// An empty batch.
    init(format: HeaderFormat) throws(Errno) {
        self.format = format
        memory = try MemoryMapping(privateBytes: Self.ownMemory)
    }

    /// Whether there is nothing to send.
    var isEmpty: Bool { vectors.isEmpty }

    /// Whether it has to be sent before another header is added. A header may be followed by one
    /// region of data, so room for two vectors is wanted.
    @inline(__always)
    var isFull: Bool {
        replyCount >= Self.mostReplies || vectors.room < 2 || vectors.byteCount >= Self.byteLimit
            || used > Self.ownMemory - Self.longestHeader
    }

    /// Whether no more data can be added.
    @inline(__always)
    var hasRoomForData: Bool { vectors.room > 0 }

    /// Whether a list of extents can be added that is worth it.
    var hasRoomForExtents: Bool {
        !isFull && used <= Self.ownMemory - Self.longestHeader - Self.leastExtentRoom
    }

    /// Memory for so many bytes of headers, which go out behind what is in the batch already.
    @inline(__always)
    mutating func take(_ count: Int) -> MemoryRegion {
        let slot = memory.region.slice(at: used, count: count)
        used &+= count
        replyCount &+= 1
        vectors.extend(with: slot)
        return slot
    }

    /// The memory that ``take(_:)`` would begin with, all of it.
    var untaken: MemoryRegion { memory.region.suffix(from: used) }

    /// Adds data that belongs to the last header.
    @inline(__always)
    mutating func append(data: MemoryRegion) {
        vectors.append(data)
    }

    /// Sends everything, and waits as long as the client does not read. Nil when it is done.
    mutating func send(to channel: Channel) -> IOResult? {
        while !vectors.isEmpty {
            let transfer = channel.send(vectors)
            guard case .bytes(let count) = transfer else { return transfer }
            vectors.consume(count)
        }
        used = 0
        replyCount = 0
        return nil
    }
}
