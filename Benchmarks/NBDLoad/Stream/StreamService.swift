internal import LinuxIO
internal import NBDProtocol

/// Serves one connection after its order.
struct StreamService: ~Copyable {
    private let socket: SocketHandle
    /// What is sent, or overwritten, from the start to the end and again.
    private let memory: MemoryMapping
    private var place = 0

    init(socket: SocketHandle, size: Int) throws(Failure) {
        let memory = try mapping(size)
        memory.region.zero()
        self.memory = memory
        self.socket = socket
    }

    /// Serves until the client is gone.
    consuming func run() throws(Failure) {
        let message = memory.region.slice(at: 0, count: StreamOrder.encodedSize)
        guard try socket.receiveExactly(message) else { return }
        guard let order = StreamOrder(decoding: message.bytes) else {
            throw Failure("a client sent no order for a stream")
        }
        while order.isPing ? try answer(order) : try move(order) {}
    }

    /// One question and its answer; false when the client is gone.
    private mutating func answer(_ order: StreamOrder) throws(Failure) -> Bool {
        guard try socket.receiveExactly(next(order.question)) else { return false }
        return try socket.sendExactly(next(order.answer))
    }

    /// One call; false when the client is gone.
    private mutating func move(_ order: StreamOrder) throws(Failure) -> Bool {
        let chunk = next(order.chunk)
        let transfer =
            order.direction == .read
            ? socket.send(chunk) : socket.receive(into: chunk, blocking: true)
        guard case .bytes = transfer else { return false }
        return true
    }

    private mutating func next(_ count: Int) -> MemoryRegion {
        if place + count > memory.region.count { place = 0 }
        defer { place += count }
        return memory.region.slice(at: place, count: count)
    }
}
