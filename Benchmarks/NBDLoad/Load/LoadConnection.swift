// The loop of one connection: build requests, send them at once, take what comes back.
//
// Nothing allocates here once it runs. One look at the clock serves a whole batch.

internal import Histogram
internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// One connection under load.
struct LoadConnection: ~Copyable {
    /// A request that may be in flight; its index is the request's cookie.
    private struct Slot {
        var sent: UInt64 = 0
        var block = 0
        var command = Command.read
        var isInFlight = false
    }

    /// What the requests are for.
    private enum Phase { case fill, load, check }

    private let socket: SocketHandle
    private let plan: LoadConfiguration
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
    /// Bytes at the start of the input that are the beginning of a header.
    private var inputCount = 0
    private var payloadSlot = 0
    private var payloadLeft = 0
    /// Where in its block the rest of the payload belongs, and whether it is the reply's last.
    private var payloadPlace = 0
    private var payloadIsLast = true

    /// Replies one after the other that took the same time: recorded together.
    private var batch = (sent: UInt64(0), count: 0)

    init(socket: SocketHandle, plan: LoadConfiguration, runNumber: UInt64) throws(Failure) {
        let headers = try mapping(plan.depth * plan.format.requestSize)
        let source = try mapping(plan.blockSize)
        let input = try mapping(plan.receiveBuffer)
        var verification: Verification?
        if plan.isVerifying {
            verification = try Verification(
                blocks: plan.blocks, blockSize: plan.blockSize, depth: plan.depth,
                runNumber: runNumber)
        }
        self.headers = headers
        self.source = source
        self.input = input
        self.verification = consume verification
        self.socket = socket
        self.plan = plan
        random = RandomNumbers(seed: plan.seed)
        nextBlock = plan.firstBlock
        slots = Array(repeating: Slot(), count: plan.depth)
        freeSlots = Array((0..<plan.depth).reversed())
        freeCount = plan.depth
        output = VectorList(capacity: min(VectorList.maximum, 2 * plan.depth))
        self.source.region.copy(
            from: (0..<plan.blockSize).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        socket.setReceiveTimeout(milliseconds: patience * 1000)
    }

    /// Puts the load on, and answers what it counted.
    consuming func run() throws(Failure) -> LoadFigures {
        if plan.isVerifying { try sweep(.fill) }
        try load()
        if plan.isVerifying { try sweep(.check) }
        try disconnect()
        return figures
    }

    // MARK: - Phases

    private mutating func load() throws(Failure) {
        phase = .load
        nextBlock = plan.firstBlock
        var now = MonotonicTime.now().nanoseconds
        let start = now &+ plan.warmupNanoseconds
        let end = start &+ plan.nanoseconds
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
            if freeCount == plan.depth { return }
            now = try exchange()
        }
    }

    /// Writes or reads every block once.
    private mutating func sweep(_ phase: Phase) throws(Failure) {
        self.phase = phase
        nextBlock = plan.blocks.lowerBound
        while true {
            if output.isEmpty { build(0) }
            if freeCount == plan.depth { return }
            _ = try exchange()
        }
    }

    private func disconnect() throws(Failure) {
        let header = headers.region.slice(at: 0, count: plan.format.requestSize)
        var bytes = header.mutableSpan
        Request(.disconnect).encode(into: &bytes, as: plan.format)
        _ = socket.send(header, blocking: false)
    }

    // MARK: - Requests

    /// Fills the queue up. The output is empty.
    private mutating func build(_ now: UInt64) {
        var used = 0
        let size = plan.format.requestSize
        // Headers lie one behind the other: without data between them they go out as one region.
        var unsent = 0
        while freeCount > 0, output.room >= 2 {
            guard let (command, block) = next() else { break }
            freeCount &-= 1
            let index = freeSlots[freeCount]
            slots[index] = Slot(sent: now, block: block, command: command, isInFlight: true)
            let request = Request(
                command, flags: flags(command), cookie: UInt64(index),
                offset: UInt64(block) &* UInt64(plan.blockSize), length: UInt64(plan.blockSize))
            var bytes = headers.region.slice(at: used, count: size).mutableSpan
            request.encode(into: &bytes, as: plan.format)
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

    /// Extended headers have a flag for what carries data.
    @inline(__always)
    private func flags(_ command: Command) -> CommandFlags {
        plan.format == .extended && command == .write ? .payloadLength : []
    }

    /// The next thing to ask for; nil when a sweep has come to its end.
    @inline(__always)
    private mutating func next() -> (Command, Int)? {
        switch phase {
        case .load:
            let command = nextCommand()
            let block = nextLoadBlock()
            guard plan.isVerifying else { return (command, block) }
            return (command, verification?.reserve(near: block) ?? block)
        case .fill, .check:
            guard nextBlock < plan.blocks.upperBound else { return nil }
            nextBlock += 1
            return (
                phase == .fill ? .write : .read, verification?.reserve(near: nextBlock - 1) ?? 0
            )
        }
    }

    @inline(__always)
    private mutating func nextCommand() -> Command {
        switch plan.workload {
        case .read: .read
        case .write: .write
        case .trim: .trim
        case .mixed: random.below(100) < plan.readPercent ? .read : .write
        }
    }

    @inline(__always)
    private mutating func nextLoadBlock() -> Int {
        guard plan.isSequential else {
            return plan.blocks.lowerBound &+ random.below(plan.blocks.count)
        }
        let block = nextBlock
        nextBlock &+= 1
        if nextBlock == plan.blocks.upperBound { nextBlock = plan.blocks.lowerBound }
        return block
    }

    @inline(__always)
    private func data(slot: Int) -> MemoryRegion {
        verification?.buffer(slot) ?? source.region.slice(at: 0, count: plan.blockSize)
    }

    @inline(__always)
    private mutating func prepare(_ command: Command, block: Int, slot: Int) {
        guard plan.isVerifying else { return }
        if command == .write { verification?.prepareWrite(block: block, slot: slot) }
        if command == .trim { verification?.prepareTrim(block: block) }
    }

    // MARK: - Sending and receiving

    /// Sends what there is to send, waits for replies and takes them; answers the time.
    private mutating func exchange() throws(Failure) -> UInt64 {
        if !output.isEmpty { try sendSome() }
        var mayWait = true
        if !output.isEmpty {
            // The server may want to be rid of replies before it reads on: wait for both.
            let ready = try waitEither()
            guard ready.contains(.input) else { return MonotonicTime.now().nanoseconds }
            mayWait = false
        }
        let count = try receiveSome(blocking: mayWait)
        let now = MonotonicTime.now().nanoseconds
        try takeReplies(count, now)
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
            throw Failure("the server takes no requests: \(error)")
        }
    }

    /// Receives behind what is left over; answers how many bytes the input has then.
    private mutating func receiveSome(blocking: Bool) throws(Failure) -> Int {
        let room = input.region.suffix(from: inputCount)
        var transfer = socket.receive(into: room, blocking: blocking && !plan.isSpinning)
        while blocking, plan.isSpinning, transfer == .wouldBlock {
            Processor.relax()
            transfer = socket.receive(into: room, blocking: false)
        }
        switch transfer {
        case .bytes(let count):
            figures.receives &+= 1
            return inputCount &+ count
        case .wouldBlock where blocking:
            throw Failure("the server answers nothing for \(patience) seconds")
        case .wouldBlock: return inputCount
        case .endOfStream: throw Failure("the server closed the connection")
        case .failed(let error): throw Failure("cannot receive replies: \(error)")
        }
    }

    // MARK: - Replies

    /// Takes every reply that has arrived, and as much of a payload as there is.
    private mutating func takeReplies(_ end: Int, _ now: UInt64) throws(Failure) {
        var place = 0
        batch.count = 0
        while true {
            if payloadLeft > 0 {
                let part = min(payloadLeft, end &- place)
                takePayload(input.region.slice(at: place, count: part))
                place &+= part
                if payloadLeft > 0 { break }
                if payloadIsLast { try complete(payloadSlot, now) }
            }
            let rest = input.region.slice(at: place, count: end &- place)
            guard let head = try ReplyHead(rest, plan.format) else { break }
            place &+= head.size
            try take(head, now)
        }
        recordBatch(now)
        inputCount = end &- place
        if inputCount > 0, place > 0 {
            input.region.slice(at: 0, count: inputCount)
                .copy(from: input.region.slice(at: place, count: inputCount))
        }
    }

    @inline(__always)
    private mutating func take(_ head: ReplyHead, _ now: UInt64) throws(Failure) {
        guard head.cookie < UInt64(plan.depth), slots[Int(head.cookie)].isInFlight else {
            throw Failure("a reply has the cookie \(head.cookie), which no request in flight has")
        }
        let index = Int(head.cookie)
        let slot = slots[index]
        switch head.kind {
        case .done where slot.command == .read && plan.format == .simple:
            expect(index, place: 0, count: plan.blockSize, isLast: true)
        case .done: try complete(index, now)
        case .data(let offset, let count):
            let place = try placeInBlock(slot, offset, count)
            expect(index, place: place, count: count, isLast: head.isLast)
        case .hole(let offset, let count):
            let place = try placeInBlock(slot, offset, count)
            if plan.isVerifying, let buffer = verification?.buffer(index) {
                buffer.slice(at: place, count: count).zero()
            }
            if head.isLast { try complete(index, now) }
        case .error(let error): throw refusal(slot, error)
        }
    }

    /// Data that follows next.
    @inline(__always)
    private mutating func expect(_ slot: Int, place: Int, count: Int, isLast: Bool) {
        payloadSlot = slot
        payloadPlace = place
        payloadLeft = count
        payloadIsLast = isLast
    }

    /// Where in its block a chunk's bytes belong; they must be a READ's, and inside what it asked for.
    @inline(__always)
    private func placeInBlock(
        _ slot: Slot, _ offset: UInt64, _ count: Int
    ) throws(Failure) -> Int {
        let start = UInt64(slot.block) &* UInt64(plan.blockSize)
        guard slot.command == .read, offset >= start, offset &- start <= UInt64(plan.blockSize),
            count <= plan.blockSize &- Int(offset &- start)
        else { throw Failure("a chunk at offset \(offset) is not what was asked for") }
        return Int(offset &- start)
    }

    private func refusal(_ slot: Slot, _ error: WireError) -> Failure {
        let offset = UInt64(slot.block) * UInt64(plan.blockSize)
        return Failure(
            "the server refused a \(slot.command.name) of \(plan.blockSize) bytes at offset "
                + "\(offset): NBD error \(error.rawValue)")
    }

    @inline(__always)
    private mutating func takePayload(_ part: MemoryRegion) {
        if plan.isVerifying, let buffer = verification?.buffer(payloadSlot) {
            buffer.slice(at: payloadPlace, count: part.count).copy(from: part)
        }
        payloadPlace &+= part.count
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
        if plan.isVerifying { try verify(slot, index) }
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
