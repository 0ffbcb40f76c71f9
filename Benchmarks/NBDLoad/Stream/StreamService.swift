internal import LinuxIO
internal import NBDProtocol

/// The server's end of a plain stream: the memory traffic of a RAM disk, and nothing else.
struct StreamService: ~Copyable {
    private let socket: SocketHandle
    /// The bytes that are sent or overwritten, from start to end, repeatedly.
    private let memory: MemoryMapping
    private var position = 0

    init(socket: SocketHandle, size: Int) throws(Failure) {
        let memory = try mapping(size)
        memory.region.zero()
        self.memory = memory
        self.socket = socket
    }

    /// Serves until the client closes the connection.
    consuming func run() throws(Failure) {
        let message = memory.region.slice(at: 0, count: StreamOrder.encodedSize)
        guard try socket.fill(message) else { return }
        guard let order = StreamOrder(decoding: message.bytes) else {
            throw Failure("a client's first message is not the order of a stream")
        }
        while order.isPing ? try exchange(order) : try move(order) {}
    }

    /// Exchanges two messages. Returns false if the client has closed the connection.
    private mutating func exchange(_ order: StreamOrder) throws(Failure) -> Bool {
        guard try socket.fill(next(order.request)) else { return false }
        return try socket.drain(next(order.reply))
    }

    /// Makes one call. Returns false if the client has closed the connection.
    private mutating func move(_ order: StreamOrder) throws(Failure) -> Bool {
        let chunk = next(order.chunk)
        let transfer =
            order.direction == .read
            ? socket.send(chunk) : socket.receive(into: chunk, blocking: true)
        guard case .bytes = transfer else { return false }
        return true
    }

    private mutating func next(_ count: Int) -> MemoryRegion {
        if position + count > memory.region.count { position = 0 }
        defer { position += count }
        return memory.region.slice(at: position, count: count)
    }
}
