internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// The replies of one connection that have not been sent yet. One system call sends them all, if the socket has
/// room.
struct ReplyBatch: ~Copyable {
    /// The most replies in a batch: twice a queue of 128 requests.
    private static var mostReplies: Int { 256 }
    /// The bytes after which a batch is sent although more would fit, so that the client can process these while the
    /// server makes the next. 128 replies of 4 KiB fit, and several of 128 KiB.
    private static var byteLimit: Int { 1 << 20 }
    /// The bytes for headers and messages; a batch that has more is sent. Only what is used takes up memory: 256
    /// simple replies are 4 KiB.
    private static var headerMemory: Int { 64 << 10 }
    /// The bytes behind them for the extents of one BLOCK_STATUS: as many as qemu-nbd sends, since some clients were
    /// tested only with qemu-nbd and fail with shorter replies. A connection that has selected no contexts does not
    /// have them.
    private static var extentMemory: Int { 1 << 20 }
    /// The longest entry except extents: an error with its message.
    private static var longestHeader: Int { 32 + 6 + RequestError.longestExplanation + 8 }

    /// The header format that the handshake has negotiated.
    let format: HeaderFormat
    private let memory: MemoryMapping
    private var vectors = VectorList(capacity: VectorList.maximum)
    private var used = 0
    private var replyCount = 0

    /// An empty batch. `hasExtents` says whether it must have room for the extents of a BLOCK_STATUS.
    init(format: HeaderFormat, hasExtents: Bool) throws(Errno) {
        self.format = format
        memory = try MemoryMapping(
            privateBytes: Self.headerMemory + (hasExtents ? Self.extentMemory : 0))
    }

    /// Whether the batch is empty.
    var isEmpty: Bool { vectors.isEmpty }

    /// Whether it must be sent before another header is added. One region of data may follow a header, so this
    /// requires room for two vectors.
    @inline(__always)
    var isFull: Bool {
        replyCount >= Self.mostReplies || vectors.room < 2 || vectors.byteCount >= Self.byteLimit
            || used > Self.headerMemory - Self.longestHeader
    }

    /// Whether another region of data fits.
    @inline(__always)
    var hasRoomForData: Bool { vectors.room > 0 }

    /// Returns memory for `count` bytes of headers, and appends it to the batch.
    @inline(__always)
    mutating func take(_ count: Int) -> MemoryRegion {
        let slot = memory.region.slice(at: used, count: count)
        used &+= count
        replyCount &+= 1
        vectors.extend(with: slot)
        return slot
    }

    /// All the memory that ``take(_:)`` has not returned yet.
    var untaken: MemoryRegion { memory.region.suffix(from: used) }

    /// Appends data that belongs to the last header.
    @inline(__always)
    mutating func append(data: MemoryRegion) {
        vectors.append(data)
    }

    /// Sends everything, and waits while the client does not read. Returns nil when all is sent, or the result of the
    /// call that failed.
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
