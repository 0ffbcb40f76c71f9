internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// The receive buffer of one connection: one call takes everything that is waiting.
struct ReceiveBuffer: ~Copyable {
    /// Bytes in the buffer. A few hundred small requests fit, and it stays in a core's own cache.
    static var capacity: Int { 256 << 10 }
    /// Room behind a large payload for what follows it: the next header and no more, so that the
    /// next payload goes straight to its place as well.
    private static var headerRoom: Int { 4 << 10 }
    /// A payload whose missing part is at least so long is large.
    private static var largePayload: Int { 16 << 10 }

    private let memory: MemoryMapping
    private var vectors = VectorList(capacity: 2)
    private var start = 0
    private var end = 0

    /// An empty buffer.
    init() throws(Errno) {
        memory = try MemoryMapping(privateBytes: Self.capacity)
    }

    /// Bytes that have been received and not taken yet.
    var count: Int { end &- start }

    /// The first of these bytes; traps when there are fewer.
    @inline(__always)
    func peek(_ count: Int) -> MemoryRegion {
        precondition(count <= self.count)
        return memory.region.slice(at: start, count: count)
    }

    /// The request whose header comes first; nil when its magic is wrong.
    ///
    /// Not analysed: the compiler takes the end of a span's life for a possible release.
    @_semantics("no_performance_analysis") @inline(__always)
    func peekRequest(_ format: HeaderFormat) -> Request? {
        Request(decoding: peek(format.requestSize).span, as: format)
    }

    /// The choice of contexts that comes first. Not analysed: as above.
    @_semantics("no_performance_analysis") @inline(never)
    func peekContextSelection() -> ContextSelection {
        ContextSelection(decoding: peek(ContextSelection.encodedSize).span)
    }

    /// Takes bytes away; traps when there are fewer.
    @inline(__always)
    mutating func take(_ count: Int) {
        precondition(count <= self.count)
        start &+= count
    }

    /// Receives what there is, behind what is left over.
    mutating func receive(from channel: Channel, blocking: Bool) -> IOResult {
        makeRoom()
        let transfer = channel.receive(into: memory.region.suffix(from: end), blocking: blocking)
        if case .bytes(let count) = transfer { end &+= count }
        return transfer
    }

    /// Receives into a region that lies elsewhere, and what follows that into this buffer, which
    /// has to be empty. Answers for the region alone: it may be filled with more to come.
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

    /// Moves what is left over, which is less than a header, to the front.
    private mutating func makeRoom() {
        let left = count
        if left > 0, start > 0 {
            memory.region.slice(at: 0, count: left).copy(from: peek(left))
        }
        start = 0
        end = left
    }
}
