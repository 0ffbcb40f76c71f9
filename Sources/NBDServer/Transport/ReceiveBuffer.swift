internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// The receive buffer of one connection: one system call receives everything that is waiting.
struct ReceiveBuffer: ~Copyable {
    /// The size of the buffer in bytes. A few hundred small requests fit, and it stays in a core's own cache.
    static var capacity: Int { 256 << 10 }
    /// The bytes received behind a large payload: the next header and little more, so that the next payload is
    /// received directly into its place, too.
    private static var headerRoom: Int { 4 << 10 }
    /// The length in bytes from which the missing part of a payload is large.
    private static var largePayload: Int { 16 << 10 }

    private let memory: MemoryMapping
    private var vectors = VectorList(capacity: 2)
    private var start = 0
    private var end = 0

    /// An empty buffer.
    init() throws(Errno) {
        memory = try MemoryMapping(privateBytes: Self.capacity)
    }

    /// The number of bytes that have been received and not consumed.
    var count: Int { end &- start }

    /// Returns the first of these bytes; traps when there are fewer.
    @inline(__always)
    func peek(_ count: Int) -> MemoryRegion {
        precondition(count <= self.count)
        return memory.region.slice(at: start, count: count)
    }

    /// Returns the request whose header comes first; nil when its magic is wrong.
    ///
    /// Not analysed: to the compiler the end of a span's lifetime might release memory.
    @_semantics("no_performance_analysis") @inline(__always)
    func peekRequest(_ format: HeaderFormat) -> Request? {
        Request(decoding: peek(format.requestSize).span, as: format)
    }

    /// Returns what the payload that comes first selects; nil when the rules reject it. Not analysed, as above.
    @_semantics("no_performance_analysis") @inline(never)
    func peekSelection(_ count: Int, _ rules: RequestRules) -> ContextSelection? {
        rules.selection(in: peek(count).span)
    }

    /// Consumes bytes; traps when there are fewer.
    @inline(__always)
    mutating func take(_ count: Int) {
        precondition(count <= self.count)
        start &+= count
    }

    /// Receives what is there, behind the bytes that are left over.
    mutating func receive(from channel: Channel, blocking: Bool) -> IOResult {
        makeRoom()
        let transfer = channel.receive(into: memory.region.suffix(from: end), blocking: blocking)
        if case .bytes(let count) = transfer { end &+= count }
        return transfer
    }

    /// Receives into a region that lies elsewhere, and what follows into this buffer, which must be empty. The result
    /// counts the bytes in the region only.
    mutating func receive(
        from channel: Channel, into target: MemoryRegion, blocking: Bool
    ) -> IOResult {
        precondition(count == 0)
        start = 0
        end = 0
        let room = target.count >= Self.largePayload ? Self.headerRoom : Self.capacity
        vectors.append(target)
        vectors.append(memory.region.slice(at: 0, count: room))
        let transfer = channel.receive(into: vectors, blocking: blocking)
        vectors.consume(vectors.byteCount)
        guard case .bytes(let count) = transfer else { return transfer }
        end = max(0, count &- target.count)
        return .bytes(min(count, target.count))
    }

    /// Moves the bytes that are left over, fewer than a header has, to the front.
    private mutating func makeRoom() {
        let left = count
        if left > 0, start > 0 {
            memory.region.slice(at: 0, count: left).copy(from: peek(left))
        }
        start = 0
        end = left
    }
}
