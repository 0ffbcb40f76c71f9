internal import Histogram
internal import LinuxIO
internal import NBDProtocol

/// The client's end of a plain stream.
struct StreamClient: ~Copyable {
    private let socket: SocketHandle
    private let order: StreamOrder
    private let blockSize: Int
    private let memory: MemoryMapping

    init(socket: SocketHandle, order: StreamOrder, blockSize: Int) throws(Failure) {
        let memory = try mapping(
            max(order.chunk, order.request, order.reply, StreamOrder.encodedSize))
        memory.region.zero()
        self.memory = memory
        self.socket = socket
        self.order = order
        self.blockSize = blockSize
        socket.setReceiveTimeout(milliseconds: patience * 1000)
    }

    /// Moves bytes for a time in nanoseconds, after a warm-up, and returns the statistics, counted in blocks.
    consuming func run(warmup: UInt64, nanoseconds: UInt64) throws(Failure) -> LoadFigures {
        let message = memory.region.slice(at: 0, count: StreamOrder.encodedSize)
        message.copy(from: order.encoded)
        guard try socket.drain(message) else { throw Self.closed }
        var figures = LoadFigures()
        let start = MonotonicTime.now().nanoseconds &+ warmup
        var measuredSince: UInt64?
        var processorTime: UInt64 = 0
        var before = MonotonicTime.now().nanoseconds
        var bytes = 0
        while before < start &+ nanoseconds {
            if measuredSince == nil, before >= start {
                figures.beginMeasuring()
                measuredSince = before
                processorTime = Processor.threadNanoseconds
                bytes = 0
            }
            bytes += order.isPing ? try ping() : try move()
            let now = MonotonicTime.now().nanoseconds
            figures.receives &+= order.isPing ? 2 : 1
            if order.isPing { figures.latency.record(now &- before) }
            before = now
        }
        figures.requests = bytes / blockSize
        figures.totalRequests = figures.requests
        figures.processorNanoseconds = Processor.threadNanoseconds &- processorTime
        figures.endMeasuring(nanoseconds: before &- (measuredSince ?? start))
        return figures
    }

    /// Exchanges two messages, and returns the number of bytes that count.
    private func ping() throws(Failure) -> Int {
        guard try socket.drain(memory.region.slice(at: 0, count: order.request)),
            try socket.fill(memory.region.slice(at: 0, count: order.reply))
        else { throw Self.closed }
        return blockSize
    }

    /// Makes one call, and returns the number of bytes it moved.
    private func move() throws(Failure) -> Int {
        let chunk = memory.region.slice(at: 0, count: order.chunk)
        let transfer =
            order.direction == .read
            ? socket.receive(into: chunk, blocking: true) : socket.send(chunk)
        switch transfer {
        case .bytes(let count): return count
        case .endOfStream, .wouldBlock: throw Self.closed
        case .failed(let error): throw Failure("the connection broke: \(error)")
        }
    }

    private static var closed: Failure { Failure("the stream-server closed the connection") }
}
