internal import Histogram
internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// One connection under load: a loop that builds requests, sends them in one call, and handles the replies.
///
/// The loop does not allocate. It reads the clock once per batch.
struct LoadConnection: ~Copyable {
    /// A request that may be in flight. Its index is the cookie.
    private struct Slot {
        var sent: UInt64 = 0
        var block = 0
        var command = Command.read
        var isInFlight = false
    }

    /// The purpose of the requests.
    private enum Phase { case fill, load, check }

    private let socket: SocketHandle
    private let configuration: LoadConfiguration
    private var figures = LoadFigures()
    private var isMeasuring = false

    private var phase = Phase.load
    private var random: RandomNumbers
    private var nextBlock: Int
    private var verification: Verification?

    private var slots: [Slot]
    private var freeSlots: [Int]
    private var freeCount: Int

    private let headers: MemoryMapping
    private let source: MemoryMapping
    private var output: VectorList

    private let input: MemoryMapping
    /// Number of bytes at the start of the input that belong to an incomplete header.
    private var inputCount = 0
    private var payloadSlot = 0
    private var payloadLeft = 0
    /// Offset in the block at which the rest of the payload belongs.
    private var payloadPosition = 0
    /// Whether the payload is the last part of the reply.
    private var payloadIsLast = true

    /// Consecutive replies to requests sent at the same time, which are recorded together.
    private var batch = (sent: UInt64(0), count: 0)

    init(socket: SocketHandle, configuration: LoadConfiguration, runNumber: UInt64) throws(Failure)
    {
        let headers = try mapping(configuration.depth * configuration.format.requestSize)
        // A TRIM, which may be as long as the disk, sends none of it.
        let payload = configuration.workload == .trim ? 1 : configuration.blockSize
        let source = try mapping(payload)
        let input = try mapping(configuration.receiveBuffer)
        var verification: Verification?
        if configuration.isVerifying {
            verification = try Verification(
                blocks: configuration.blocks, blockSize: configuration.blockSize,
                depth: configuration.depth,
                runNumber: runNumber)
        }
        self.headers = headers
        self.source = source
        self.input = input
        self.verification = consume verification
        self.socket = socket
        self.configuration = configuration
        random = RandomNumbers(seed: configuration.seed)
        nextBlock = configuration.firstBlock
        slots = Array(repeating: Slot(), count: configuration.depth)
        freeSlots = Array((0..<configuration.depth).reversed())
        freeCount = configuration.depth
        output = VectorList(capacity: min(VectorList.maximum, 2 * configuration.depth))
        self.source.region.copy(
            from: (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        socket.setReceiveTimeout(milliseconds: patience * 1000)
    }

    /// Runs the load, and returns the statistics.
    consuming func run() throws(Failure) -> LoadFigures {
        if configuration.isVerifying { try sweep(.fill) }
        try load()
        if configuration.isVerifying { try sweep(.check) }
        try disconnect()
        return figures
    }

    // MARK: - Phases

    private mutating func load() throws(Failure) {
        phase = .load
        nextBlock = configuration.firstBlock
        var now = MonotonicTime.now().nanoseconds
        let start = now &+ configuration.warmupNanoseconds
        let end = start &+ configuration.nanoseconds
        var measuredSince: UInt64 = 0
        var processorTime: UInt64 = 0
        while true {
            if !isMeasuring, now >= start, now < end {
                figures.beginMeasuring()
                isMeasuring = true
                measuredSince = now
                processorTime = Processor.threadNanoseconds
            }
            if now < end {
                if output.isEmpty { build(now) }
            } else if isMeasuring {
                isMeasuring = false
                figures.endMeasuring(nanoseconds: now &- measuredSince)
                figures.processorNanoseconds = Processor.threadNanoseconds &- processorTime
            }
            if freeCount == configuration.depth { return }
            now = try exchange()
        }
    }

    /// Writes or reads every block once.
    private mutating func sweep(_ phase: Phase) throws(Failure) {
        self.phase = phase
        nextBlock = configuration.blocks.lowerBound
        while true {
            if output.isEmpty { build(0) }
            if freeCount == configuration.depth { return }
            _ = try exchange()
        }
    }

    private func disconnect() throws(Failure) {
        let header = headers.region.slice(at: 0, count: configuration.format.requestSize)
        var bytes = header.mutableSpan
        Request(.disconnect).encode(into: &bytes, as: configuration.format)
        _ = socket.send(header, blocking: false)
    }

    // MARK: - Requests

    /// Fills the queue with requests. The output must be empty.
    private mutating func build(_ now: UInt64) {
        var used = 0
        let size = configuration.format.requestSize
        // Headers are adjacent: those without data between them are sent as one region.
        var unsent = 0
        while freeCount > 0, output.room >= 2 {
            guard let (command, block) = next() else { break }
            freeCount &-= 1
            let index = freeSlots[freeCount]
            slots[index] = Slot(sent: now, block: block, command: command, isInFlight: true)
            let request = Request(
                command, flags: flags(command), cookie: UInt64(index),
                offset: UInt64(block) &* UInt64(configuration.blockSize),
                length: UInt64(configuration.blockSize))
            var bytes = headers.region.slice(at: used, count: size).mutableSpan
            request.encode(into: &bytes, as: configuration.format)
            used &+= size
            if command == .write {
                output.append(headers.region.slice(at: unsent, count: used &- unsent))
                output.append(data(slot: index))
                unsent = used
            }
            prepare(command, block: block, slot: index)
        }
        if used > unsent { output.append(headers.region.slice(at: unsent, count: used &- unsent)) }
    }

    /// Returns the flags: extended headers have one for a request that carries data.
    @inline(__always)
    private func flags(_ command: Command) -> CommandFlags {
        configuration.format == .extended && command == .write ? .payloadLength : []
    }

    /// Returns the next command and block, or nil at the end of a sweep.
    @inline(__always)
    private mutating func next() -> (Command, Int)? {
        switch phase {
        case .load:
            let command = nextCommand()
            let block = nextLoadBlock()
            guard configuration.isVerifying else { return (command, block) }
            return (command, verification?.reserve(near: block) ?? block)
        case .fill, .check:
            guard nextBlock < configuration.blocks.upperBound else { return nil }
            nextBlock += 1
            return (
                phase == .fill ? .write : .read, verification?.reserve(near: nextBlock - 1) ?? 0
            )
        }
    }

    @inline(__always)
    private mutating func nextCommand() -> Command {
        switch configuration.workload {
        case .read: .read
        case .write: .write
        case .trim: .trim
        case .mixed: random.below(100) < configuration.readPercent ? .read : .write
        }
    }

    @inline(__always)
    private mutating func nextLoadBlock() -> Int {
        guard configuration.isSequential else {
            return configuration.blocks.lowerBound &+ random.below(configuration.blocks.count)
        }
        let block = nextBlock
        nextBlock &+= 1
        if nextBlock == configuration.blocks.upperBound {
            nextBlock = configuration.blocks.lowerBound
        }
        return block
    }

    @inline(__always)
    private func data(slot: Int) -> MemoryRegion {
        verification?.buffer(slot) ?? source.region.slice(at: 0, count: configuration.blockSize)
    }

    @inline(__always)
    private mutating func prepare(_ command: Command, block: Int, slot: Int) {
        guard configuration.isVerifying else { return }
        if command == .write { verification?.prepareWrite(block: block, slot: slot) }
        if command == .trim { verification?.prepareTrim(block: block) }
    }

    // MARK: - Sending and receiving

    /// Sends pending output, waits for replies and handles them. Returns the time.
    private mutating func exchange() throws(Failure) -> UInt64 {
        if !output.isEmpty { try sendSome() }
        var mayWait = true
        if !output.isEmpty {
            // The server may not read on before this client has read its replies: wait for both.
            let ready = try waitEither()
            guard ready.contains(.input) else { return MonotonicTime.now().nanoseconds }
            mayWait = false
        }
        let count = try receiveSome(blocking: mayWait)
        let now = MonotonicTime.now().nanoseconds
        try handleReplies(count, now)
        return now
    }

    private mutating func sendSome() throws(Failure) {
        switch socket.send(output, blocking: false) {
        case .bytes(let count):
            output.consume(count)
            figures.sends &+= 1
        case .wouldBlock: return
        case .endOfStream: throw Failure("the server closed the connection")
        case .failed(let error): throw Failure("cannot send requests: \(error)")
        }
    }

    private func waitEither() throws(Failure) -> Readiness {
        do throws(Errno) {
            let ready = try socket.waitEither(milliseconds: patience * 1000)
            guard !ready.isEmpty else { throw Errno.timedOut }
            return ready
        } catch {
            throw Failure("the server does not read requests: \(error)")
        }
    }

    /// Receives behind the incomplete header. Returns the number of bytes in the input.
    private mutating func receiveSome(blocking: Bool) throws(Failure) -> Int {
        let room = input.region.suffix(from: inputCount)
        var transfer = socket.receive(into: room, blocking: blocking && !configuration.isSpinning)
        while blocking, configuration.isSpinning, transfer == .wouldBlock {
            Processor.relax()
            transfer = socket.receive(into: room, blocking: false)
        }
        switch transfer {
        case .bytes(let count):
            figures.receives &+= 1
            return inputCount &+ count
        case .wouldBlock where blocking:
            throw Failure("the server sent nothing for \(patience) seconds")
        case .wouldBlock: return inputCount
        case .endOfStream: throw Failure("the server closed the connection")
        case .failed(let error): throw Failure("cannot receive replies: \(error)")
        }
    }

    // MARK: - Replies

    /// Handles every reply that has arrived, and as much of a payload as there is.
    private mutating func handleReplies(_ end: Int, _ now: UInt64) throws(Failure) {
        var place = 0
        batch.count = 0
        while true {
            if payloadLeft > 0 {
                let part = min(payloadLeft, end &- place)
                handlePayload(input.region.slice(at: place, count: part))
                place &+= part
                if payloadLeft > 0 { break }
                if payloadIsLast { try complete(payloadSlot, now) }
            }
            let rest = input.region.slice(at: place, count: end &- place)
            guard let head = try ReplyHead(rest, configuration.format) else { break }
            place &+= head.size
            try handle(head, now)
        }
        recordBatch(now)
        inputCount = end &- place
        if inputCount > 0, place > 0 {
            input.region.slice(at: 0, count: inputCount)
                .copy(from: input.region.slice(at: place, count: inputCount))
        }
    }

    @inline(__always)
    private mutating func handle(_ head: ReplyHead, _ now: UInt64) throws(Failure) {
        guard head.cookie < UInt64(configuration.depth), slots[Int(head.cookie)].isInFlight else {
            throw Failure(
                "a reply has the cookie \(head.cookie), which belongs to no request in flight")
        }
        let index = Int(head.cookie)
        let slot = slots[index]
        switch head.kind {
        case .done where slot.command == .read && configuration.format == .simple:
            expect(index, place: 0, count: configuration.blockSize, isLast: true)
        case .done: try complete(index, now)
        case .data(let offset, let count):
            let place = try offsetInBlock(slot, offset, count)
            expect(index, place: place, count: count, isLast: head.isLast)
        case .hole(let offset, let count):
            let place = try offsetInBlock(slot, offset, count)
            if configuration.isVerifying, let buffer = verification?.buffer(index) {
                buffer.slice(at: place, count: count).zero()
            }
            if head.isLast { try complete(index, now) }
        case .error(let error): throw rejection(slot, error)
        }
    }

    /// Prepares for data that follows.
    @inline(__always)
    private mutating func expect(_ slot: Int, place: Int, count: Int, isLast: Bool) {
        payloadSlot = slot
        payloadPosition = place
        payloadLeft = count
        payloadIsLast = isLast
    }

    /// Returns the offset of a chunk's bytes in their block. The chunk must belong to a READ, and be inside its range.
    @inline(__always)
    private func offsetInBlock(
        _ slot: Slot, _ offset: UInt64, _ count: Int
    ) throws(Failure) -> Int {
        let start = UInt64(slot.block) &* UInt64(configuration.blockSize)
        guard slot.command == .read, offset >= start,
            offset &- start <= UInt64(configuration.blockSize),
            count <= configuration.blockSize &- Int(offset &- start)
        else { throw Failure("a chunk at offset \(offset) is outside the range of its request") }
        return Int(offset &- start)
    }

    private func rejection(_ slot: Slot, _ error: WireError) -> Failure {
        let offset = UInt64(slot.block) * UInt64(configuration.blockSize)
        return Failure(
            "the server rejected a \(slot.command.name) of \(configuration.blockSize) bytes at offset "
                + "\(offset): \(error)")
    }

    @inline(__always)
    private mutating func handlePayload(_ part: MemoryRegion) {
        if configuration.isVerifying, let buffer = verification?.buffer(payloadSlot) {
            buffer.slice(at: payloadPosition, count: part.count).copy(from: part)
        }
        payloadPosition &+= part.count
        payloadLeft &-= part.count
    }

    @inline(__always)
    private mutating func complete(_ index: Int, _ now: UInt64) throws(Failure) {
        let slot = slots[index]
        slots[index].isInFlight = false
        freeSlots[freeCount] = index
        freeCount &+= 1
        if slot.sent != batch.sent {
            recordBatch(now)
            batch.sent = slot.sent
        }
        batch.count &+= 1
        if configuration.isVerifying { try verify(slot, index) }
    }

    private mutating func verify(_ slot: Slot, _ index: Int) throws(Failure) {
        if slot.command == .read { figures.verifiedBlocks += 1 }
        try verification?.finish(slot.command, block: slot.block, slot: index)
    }

    @inline(__always)
    private mutating func recordBatch(_ now: UInt64) {
        guard batch.count > 0 else { return }
        figures.totalRequests &+= batch.count
        if isMeasuring {
            figures.requests &+= batch.count
            figures.latency.record(now &- batch.sent, count: UInt64(batch.count))
        }
        batch.count = 0
    }
}
