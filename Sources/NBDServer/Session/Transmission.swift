internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// The transmission phase of one connection: the hot loop.
///
/// From the first request to the last nothing here allocates, locks, logs or starts a task, except requests to a custom
/// store. A batch is what one system call has received. The thread serves all of it, then sends the replies with
/// one system call.
struct Transmission: ~Copyable {
    let channel: Channel
    private let disk: DiskPages
    /// The session that serves in place of the disk; nil for a RAM disk whose contents are complete. See
    /// Transmission+CustomStore.swift.
    private var store: StoreHandle?
    private let rules: RequestRules
    /// The contexts that a BLOCK_STATUS reports: all that were negotiated, unless its payload selects some.
    var contexts: ContextSet
    let format: HeaderFormat
    let stop: StopSignal
    var input: ReceiveBuffer
    var replies: ReplyBatch
    /// Pins on the pages that the replies are sent from.
    private var pins: ReadPins
    /// The slot in which this connection announces changes of the disk; nil for a custom store, which has no pages.
    private let changes: ChangeSlot?
    private var polling: AdaptivePolling
    var meter: Meter
    /// The connections between which the client may move requests; nil when it has only this one.
    private let siblings: SiblingConnections?
    /// Whether the thread must check the siblings before it changes the disk, because it has received something since.
    var mustCheckSiblings = false
    /// The requests served since the last receive.
    private var batchSize = 0
    /// Whether the last receive came after the server was told to stop.
    var isStopping = false

    init(
        channel: Channel, disk: DiskPages, store: StoreHandle? = nil, rules: RequestRules,
        format: HeaderFormat,
        stop: StopSignal, pollMicroseconds: Int, meter: Meter, siblings: SiblingConnections? = nil
    ) throws(Errno) {
        let input = try ReceiveBuffer()
        let replies = try ReplyBatch(format: format, hasExtents: !rules.contexts.isEmpty)
        let pins = try ReadPins(disk.pins)
        var disk = disk
        if disk.size > 0 {
            let slot = try ChangeSlot(disk.versions)
            disk.slot = slot.index
            changes = consume slot
        } else {
            changes = nil
        }
        self.channel = channel
        self.disk = disk
        self.store = store
        self.rules = rules
        contexts = rules.contexts
        self.format = format
        self.stop = stop
        self.input = input
        self.replies = replies
        self.pins = pins
        self.meter = meter
        self.siblings = siblings
        polling = AdaptivePolling(microseconds: pollMicroseconds)
    }

    /// Serves until the connection ends, and returns why it did.
    consuming func run() -> DisconnectReason {
        do throws(DisconnectReason) {
            while true { try serveAndReceive() }
        } catch {
            // Sends the replies to what was served before the end (specification: "finish what is outstanding").
            if error != .stalled { _ = replies.send(to: channel) }
            meter.recordSend()
            return error
        }
    }

    /// Performs one turn of the loop. The compiler proves that nothing called from here allocates or locks, and fails
    /// the build otherwise. Calls that it cannot analyse (system calls, memmove, custom stores) are marked where they
    /// are. A debug build does not inline enough for the proof.
    #if !DEBUG
        @_noAllocation @_noLocks
    #endif
    private mutating func serveAndReceive() throws(DisconnectReason) {
        try serveBatch()
        try sendReplies()
        try receiveBatch()
    }

    // MARK: - Requests

    /// Serves every request that has arrived whole.
    private mutating func serveBatch() throws(DisconnectReason) {
        while input.count >= format.requestSize {
            guard let request = input.peekRequest(format) else { throw .requestMagic }
            input.take(format.requestSize)
            meter.recordRequest(request)
            if replies.isFull { try sendReplies() }
            if request.flags.contains(.payloadLength), hasUnusualPayload(request) {
                meter.recordReply(to: try serveWithPayload(request))
            } else {
                try serve(request)
                meter.recordReply(to: request)
            }
            batchSize &+= 1
        }
    }

    @inline(__always)
    private mutating func serve(_ request: Request) throws(DisconnectReason) {
        if request.command == .disconnect {
            meter.recordDisconnect()
            throw .disconnected
        }
        // Other commands than READ and WRITE can take long, so the stop flag is checked between two of one batch.
        if request.command.rawValue > Command.write.rawValue, stop.isSet { isStopping = true }
        if let fault = isStopping ? .shuttingDown : rules.validate(request) {
            return try refuse(request, fault)
        }
        // One branch, the same way for as long as the connection lives, or until the disk's contents are there.
        if let store {
            if try serve(request, from: store) { return }
            self.store = nil
        }
        switch request.command {
        case .read: try read(request)
        case .write: try write(request)
        case .trim, .writeZeroes: try zero(request)
        case .blockStatus: try blockStatus(request)
        default:
            // FLUSH and CACHE: memory needs neither.
            replies.append(doneWith: request)
        }
    }

    private mutating func read(_ request: Request) throws(DisconnectReason) {
        if format == .simple || request.flags.contains(.dontFragment) {
            try readInOnePiece(request)
        } else {
            try readInChunks(request)
        }
    }

    /// Appends one header and all the bytes, including zeroes.
    @inline(__always)
    private mutating func readInOnePiece(_ request: Request) throws(DisconnectReason) {
        replies.append(
            dataAt: request.offset, count: request.length, isLast: true, answering: request)
        var offset = request.offset
        var left = request.length
        while true {
            let data = disk.readable(at: offset, count: left, pins: &pins)
            replies.append(data: data)
            left &-= UInt64(data.count)
            if left == 0 { return }
            offset &+= UInt64(data.count)
            if !replies.hasRoomForData { try sendReplies() }
        }
    }

    /// Appends a chunk for each extent: data with its bytes, or a hole.
    @inline(__always)
    private mutating func readInChunks(_ request: Request) throws(DisconnectReason) {
        var offset = request.offset
        var left = request.length
        while true {
            let extent = disk.extentToRead(at: offset, count: left, pins: &pins)
            left &-= extent.count
            if extent.isEmpty {
                replies.append(
                    holeAt: offset, count: extent.count, isLast: left == 0, answering: request)
            } else {
                replies.append(
                    dataAt: offset, count: extent.count, isLast: left == 0, answering: request)
                replies.append(data: disk.data(of: extent, at: offset))
            }
            if left == 0 { return }
            offset &+= extent.count
            if replies.isFull { try sendReplies() }
        }
    }

    @inline(__always)
    private mutating func write(_ request: Request) throws(DisconnectReason) {
        if mustCheckSiblings { try awaitSiblings() }
        guard let target = disk.beginWrite(at: request.offset, count: request.length) else {
            return try refuse(request, .noMemory)
        }
        try receive(target, of: request)
        replies.append(doneWith: request)
    }

    /// Copies the part of a payload that has arrived, and receives the rest directly into the disk.
    @inline(__always)
    private mutating func receive(
        _ target: MemoryRegion, of request: Request
    ) throws(DisconnectReason) {
        // Also when the rest does not arrive, because other threads may wait for the pages.
        defer { disk.endWrite(at: request.offset, count: request.length) }
        let arrived = min(input.count, target.count)
        target.slice(at: 0, count: arrived).copyPastCache(from: input.peek(arrived))
        input.take(arrived)
        if arrived < target.count { try receive(target.suffix(from: arrived)) }
    }

    private mutating func zero(_ request: Request) throws(DisconnectReason) {
        if mustCheckSiblings { try awaitSiblings() }
        // On a sparse disk, pages that pending replies are sent from would not be released.
        if disk.shared != nil, !replies.isEmpty { try sendReplies() }
        let result =
            request.command == .trim
            ? disk.trim(at: request.offset, count: request.length, stop: stop)
            : disk.writeZeroes(
                at: request.offset, count: request.length,
                keepSpace: request.flags.contains(.noHole), stop: stop)
        switch result {
        case .done: replies.append(doneWith: request)
        case .noMemory: try refuse(request, .noMemory)
        case .stopped:
            isStopping = true
            try refuse(request, .shuttingDown)
        }
    }

    /// Waits for dead siblings to leave. The thread calls it before a request that it has just received changes the
    /// disk; see ``ConnectionGroup``.
    mutating func awaitSiblings() throws(DisconnectReason) {
        if let siblings, siblings.hangUps() != .none {
            // The client does not repeat a request on another connection if the reply arrives in time.
            if !replies.isEmpty { try sendReplies() }
            guard siblings.awaitDead() else { throw .closed }
        }
        mustCheckSiblings = false
    }

    /// Notes that the thread has received requests which a sibling may have received before.
    @inline(__always)
    private mutating func noteReceived() {
        if let siblings { mustCheckSiblings = siblings.exist }
    }

    /// Reports the extents of the range in each context, as many as there is room for, and at least one.
    private mutating func blockStatus(_ request: Request) throws(DisconnectReason) {
        if replies.isFull { try sendReplies() }
        var rest = contexts
        while !rest.isEmpty {
            let context = rest.removeFirst()
            var extents = replies.makeExtentList(outOf: rest.count &+ 1)
            var offset = request.offset
            var left = request.length
            while left > 0, extents.hasRoom {
                let extent = disk.extent(at: offset, count: left, in: context)
                extents.append(extent)
                if request.flags.contains(.requestOne) { break }
                offset += extent.length
                left -= extent.length
            }
            replies.append(extents, in: context, isLast: rest.isEmpty, answering: request)
        }
    }

    /// Replies with an error. Drains a WRITE's payload first.
    mutating func refuse(_ request: Request, _ fault: RequestError) throws(DisconnectReason) {
        if request.command == .write {
            guard request.length <= rules.drainedPayload else {
                throw .payloadTooLong(request.length)
            }
            try drain(Int(request.length))
        }
        meter.recordError(fault.error(for: request.command))
        replies.append(fault: fault, of: request, exportSize: rules.exportSize)
    }

    // MARK: - Payloads of other commands than WRITE

    /// Returns whether a request may have a payload that its command does not require. Only extended requests have the
    /// flag for that; in others it is an unknown flag.
    private func hasUnusualPayload(_ request: Request) -> Bool {
        format == .extended && request.command != .write && request.command != .disconnect
    }

    /// Serves a BLOCK_STATUS that selects contexts; drains and refuses any other payload. Returns the request without
    /// its payload.
    private mutating func serveWithPayload(_ request: Request) throws(DisconnectReason) -> Request {
        guard request.length <= Limits.maximumPayload else { throw .payloadTooLong(request.length) }
        let count = Int(request.length)
        if let fault = isStopping ? .shuttingDown : rules.validatePayload(of: request) {
            try drain(count)
            try refuse(request, fault)
            return request
        }
        try receive(atLeast: count)
        let selection = input.peekSelection(count, rules)
        input.take(count)
        guard let selection else {
            try refuse(request, .unknownContext)
            return request
        }
        var plain = request
        plain.flags = CommandFlags(
            rawValue: request.flags.rawValue & ~CommandFlags.payloadLength.rawValue)
        plain.length = selection.effectLength
        contexts = selection.contexts
        defer { contexts = rules.contexts }
        try serve(plain)
        return plain
    }

    mutating func drain(_ count: Int) throws(DisconnectReason) {
        var left = count
        while left > 0 {
            try receive(atLeast: 1)
            let part = min(left, input.count)
            input.take(part)
            left -= part
        }
    }

    // MARK: - Receiving and sending

    mutating func sendReplies() throws(DisconnectReason) {
        switch replies.send(to: channel) {
        case nil:
            pins.unpinAll()
            meter.recordSend()
        case .failed(let error): throw .failed(error)
        case .wouldBlock: throw .stalled
        case .endOfStream, .bytes: throw .closed
        }
    }

    /// Waits for the next requests. All replies have been sent.
    private mutating func receiveBatch() throws(DisconnectReason) {
        let isBetweenMessages = input.count == 0
        switch pollOrSleep() {
        case .bytes:
            meter.recordReceive()
            noteReceived()
            isStopping = stop.isSet
        case .endOfStream where stop.isSet: throw .stopped
        case .endOfStream: throw isBetweenMessages ? .closed : .closedInMessage
        case .failed(let error): throw .failed(error)
        // The stall timeout applies to a message that has begun, not to the time between two messages.
        case .wouldBlock: if !isBetweenMessages { throw .stalled }
        }
    }

    /// Busy-polls for the next requests as long as that is likely to pay off, then sleeps until they arrive.
    private mutating func pollOrSleep() -> IOResult {
        polling.begin(afterBatchOf: batchSize)
        batchSize = 0
        while polling.goesOn {
            let transfer = input.receive(from: channel, blocking: false)
            if case .wouldBlock = transfer { continue }
            polling.found()
            meter.recordWait(asleep: false)
            return transfer
        }
        meter.recordWait(asleep: true)
        return sleep()
    }

    /// Sleeps in the kernel, and tells the polling for how long.
    private mutating func sleep() -> IOResult {
        guard polling.isOn else { return input.receive(from: channel, blocking: true) }
        let start = MonotonicTime.now()
        let transfer = input.receive(from: channel, blocking: true)
        polling.slept(nanoseconds: MonotonicTime.now().nanoseconds &- start.nanoseconds)
        return transfer
    }

    /// Receives the rest of a payload into its place, and what follows into the buffer.
    mutating func receive(_ rest: MemoryRegion) throws(DisconnectReason) {
        var rest = rest
        while rest.count > 0 {
            let isIdle = replies.isEmpty
            switch input.receive(from: channel, into: rest, blocking: isIdle) {
            case .bytes(let count):
                meter.recordReceive()
                noteReceived()
                rest = rest.suffix(from: count)
            case .wouldBlock where isIdle: throw .stalled
            // The client may wait for these replies before it sends the rest.
            case .wouldBlock: try sendReplies()
            case .endOfStream: throw stop.isSet ? .stopped : .closedInMessage
            case .failed(let error): throw .failed(error)
            }
        }
    }

    /// Receives until at least `count` bytes are in the buffer.
    private mutating func receive(atLeast count: Int) throws(DisconnectReason) {
        while input.count < count {
            let isIdle = replies.isEmpty
            switch input.receive(from: channel, blocking: isIdle) {
            case .bytes:
                meter.recordReceive()
                noteReceived()
            case .wouldBlock where isIdle: throw .stalled
            case .wouldBlock: try sendReplies()
            case .endOfStream: throw stop.isSet ? .stopped : .closedInMessage
            case .failed(let error): throw .failed(error)
            }
        }
    }
}
