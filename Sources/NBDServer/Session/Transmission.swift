// The hot loop: requests in, replies out, nothing in between.
//
// From the first request to the last nothing here allocates, locks, logs or starts a task. A batch
// is whatever one receive brought; it is served to its end, and its replies leave in one send.

internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// The transmission phase of one connection.
struct Transmission: ~Copyable {
    let channel: Channel
    private let disk: DiskPages
    /// What serves in place of the disk; nil for a RAM disk. See Transmission+CustomStore.swift.
    private let store: StoreHandle?
    private let rules: RequestRules
    let format: HeaderFormat
    let stop: StopSignal
    var input: ReceiveBuffer
    var replies: ReplyBatch
    /// What these are going to be sent from.
    private var claims: ReadPins
    private var polling: AdaptivePolling
    var meter: Meter
    /// The connections that the client may move requests to and from; nil when it has only this one.
    private let siblings: SiblingConnections?
    /// Whether nothing may change before the siblings have been looked at: something was received since.
    var mustCheckSiblings = false
    /// Requests served since something was received.
    private var batchSize = 0
    /// Whether what was received last came after the server had been told to stop.
    var isStopping = false

    init(
        channel: Channel, disk: DiskPages, store: StoreHandle? = nil, rules: RequestRules, format: HeaderFormat,
        stop: StopSignal, pollMicroseconds: Int, meter: Meter, siblings: SiblingConnections? = nil
    ) throws(Errno) {
        let input = try ReceiveBuffer()
        let replies = try ReplyBatch(format: format)
        let claims = try ReadPins(disk.claims)
        self.channel = channel
        self.disk = disk
        self.store = store
        self.rules = rules
        self.format = format
        self.stop = stop
        self.input = input
        self.replies = replies
        self.claims = claims
        self.meter = meter
        self.siblings = siblings
        polling = AdaptivePolling(microseconds: pollMicroseconds)
    }

    /// Serves until the connection ends, and answers why it did.
    consuming func run() -> DisconnectReason {
        do throws(DisconnectReason) {
            while true { try serveAndReceive() }
        } catch {
            // What was served before the end is answered: "finish what is outstanding".
            if error != .stalled { _ = replies.send(to: channel) }
            meter.sent()
            return error
        }
    }

    /// One turn of the loop. The compiler proves, through all that is called from here, that nothing
    /// allocates or locks, and refuses to build if something does; what it cannot look into (system
    /// calls, memmove) is marked where it is. A debug build does not inline enough for the proof.
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
            meter.begins(request)
            if replies.isFull { try sendReplies() }
            if request.flags.contains(.payloadLength), hasUnusualPayload(request) {
                meter.served(try serveWithPayload(request))
            } else {
                try serve(request)
                meter.served(request)
            }
            batchSize &+= 1
        }
    }

    @inline(__always)
    private mutating func serve(_ request: Request) throws(DisconnectReason) {
        if request.command == .disconnect {
            meter.disconnected()
            throw .disconnected
        }
        // Some others take long: between two of them a stop is heard of, though they came together.
        if request.command.rawValue > Command.write.rawValue, stop.isSet { isStopping = true }
        if let fault = isStopping ? .shuttingDown : rules.check(request) {
            return try refuse(request, fault)
        }
        // One branch, the same way for as long as the connection lives.
        if let store { return try serve(request, from: store) }
        switch request.command {
        case .read: try read(request)
        case .write: try write(request)
        case .trim, .writeZeroes: try zero(request)
        case .blockStatus: try blockStatus(request)
        default:
            // FLUSH and CACHE: what was written is where it stays, and nearer than memory nothing is.
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

    /// One header and all the bytes, zeroes too.
    @inline(__always)
    private mutating func readInOnePiece(_ request: Request) throws(DisconnectReason) {
        replies.append(
            dataAt: request.offset, count: request.length, isLast: true, answering: request)
        var offset = request.offset
        var left = request.length
        while true {
            let data = disk.readable(at: offset, count: left, claims: &claims)
            replies.append(data: data)
            left &-= UInt64(data.count)
            if left == 0 { return }
            offset &+= UInt64(data.count)
            if !replies.hasRoomForData { try sendReplies() }
        }
    }

    /// A chunk for each extent: data with its bytes, a hole without.
    @inline(__always)
    private mutating func readInChunks(_ request: Request) throws(DisconnectReason) {
        var offset = request.offset
        var left = request.length
        while true {
            let extent = disk.extentToRead(at: offset, count: left, claims: &claims)
            left &-= extent.count
            if extent.isEmpty {
                replies.append(
                    holeAt: offset, count: extent.count, isLast: left == 0, answering: request)
            } else {
                replies.append(
                    dataAt: offset, count: extent.count, isLast: left == 0, answering: request)
                replies.append(data: disk.data(at: offset, count: extent.count))
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

    /// What has arrived of a payload is copied; the rest is received into its place.
    @inline(__always)
    private mutating func receive(
        _ target: MemoryRegion, of request: Request
    ) throws(DisconnectReason) {
        // Also when the rest does not come: others may need the place.
        defer { disk.endWrite(at: request.offset, count: request.length) }
        let arrived = min(input.count, target.count)
        target.slice(at: 0, count: arrived).copyPastCache(from: input.peek(arrived))
        input.take(arrived)
        if arrived < target.count { try receive(target.suffix(from: arrived)) }
    }

    private mutating func zero(_ request: Request) throws(DisconnectReason) {
        if mustCheckSiblings { try awaitSiblings() }
        // On a sparse disk, pages that replies wait to be sent from would not be given back.
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

    /// To be called before a request that was just received changes the disk; see ``ConnectionGroup``.
    mutating func awaitSiblings() throws(DisconnectReason) {
        if let siblings, siblings.look() != .none {
            // What has been served is not repeated on another connection if its reply gets there in time.
            if !replies.isEmpty { try sendReplies() }
            guard siblings.awaitDead() else { throw .closed }
        }
        mustCheckSiblings = false
    }

    /// Notes that there are requests which the siblings may have received before.
    @inline(__always)
    private mutating func noteReceived() {
        if let siblings { mustCheckSiblings = siblings.areThere }
    }

    /// Tells of the range's extents, of as many as there is room for: at least one.
    private mutating func blockStatus(_ request: Request) throws(DisconnectReason) {
        if !replies.hasRoomForExtents { try sendReplies() }
        var extents = replies.makeExtentList()
        var offset = request.offset
        var left = request.length
        while left > 0, extents.hasRoom {
            let extent = disk.extent(at: offset, count: left)
            extents.append(Extent(length: extent.count, status: extent.isEmpty ? .empty : .data))
            if request.flags.contains(.requestOne) { break }
            offset += extent.count
            left -= extent.count
        }
        replies.append(extents, answering: request)
    }

    /// Answers with an error, after a WRITE's payload has been read away.
    mutating func refuse(_ request: Request, _ fault: RequestError) throws(DisconnectReason)
    {
        if request.command == .write {
            guard request.length <= rules.drainedPayload else {
                throw .payloadTooLong(request.length)
            }
            try drain(Int(request.length))
        }
        meter.refuses(with: fault.error(for: request.command))
        replies.append(fault: fault, of: request, exportSize: rules.exportSize)
    }

    // MARK: - Payloads of other commands than WRITE

    /// Whether a request has a payload that it should not, or need not, have. Only extended requests
    /// can; in others the flag that says so is one that does not exist.
    private func hasUnusualPayload(_ request: Request) -> Bool {
        format == .extended && request.command != .write && request.command != .disconnect
    }

    /// A BLOCK_STATUS may choose among contexts; anything else is read away and refused. Answers the
    /// request without its payload.
    private mutating func serveWithPayload(_ request: Request) throws(DisconnectReason) -> Request {
        guard request.length <= Limits.maximumPayload else { throw .payloadTooLong(request.length) }
        guard request.command == .blockStatus, rules.hasContext, !isStopping,
            request.length == ContextSelection.encodedSize
        else {
            try drain(Int(request.length))
            try refuse(request, payloadFault(of: request))
            return request
        }
        try receive(atLeast: ContextSelection.encodedSize)
        let selection = input.peekContextSelection()
        input.take(ContextSelection.encodedSize)
        guard selection.identifier == MetadataContext.allocationIdentifier else {
            try refuse(request, .unknownContext)
            return request
        }
        var plain = request
        plain.flags = CommandFlags(
            rawValue: request.flags.rawValue & ~CommandFlags.payloadLength.rawValue)
        plain.length = selection.effectLength
        try serve(plain)
        return plain
    }

    private func payloadFault(of request: Request) -> RequestError {
        if isStopping { return .shuttingDown }
        guard request.command == .blockStatus else { return .payload }
        if !rules.hasContext { return .noContext }
        // More contexts than there are, or a length that no list of them has.
        return request.length % 4 == 0 && request.length > 8 ? .unknownContext : .payload
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
            claims.release()
            meter.sent()
        case .failed(let error): throw .failed(error)
        case .wouldBlock: throw .stalled
        case .endOfStream, .bytes: throw .closed
        }
    }

    /// Waits for the next requests. All replies have been sent.
    private mutating func receiveBatch() throws(DisconnectReason) {
        let isBetweenMessages = input.count == 0
        switch lookOrSleep() {
        case .bytes:
            meter.received()
            noteReceived()
            isStopping = stop.isSet
        case .endOfStream where stop.isSet: throw .stopped
        case .endOfStream: throw isBetweenMessages ? .closed : .closedInMessage
        case .failed(let error): throw .failed(error)
        // The time for a message that has begun is over; that for the next one never is.
        case .wouldBlock: if !isBetweenMessages { throw .stalled }
        }
    }

    /// Looks for the next requests as long as that is likely to pay, then sleeps until they come.
    private mutating func lookOrSleep() -> IOResult {
        polling.begin(afterBatchOf: batchSize)
        batchSize = 0
        while polling.goesOn {
            let transfer = input.receive(from: channel, wait: false)
            if case .wouldBlock = transfer { continue }
            polling.found()
            meter.waited(asleep: false)
            return transfer
        }
        meter.waited(asleep: true)
        return sleep()
    }

    /// Waits in the kernel, and lets the polling know for how long.
    private mutating func sleep() -> IOResult {
        guard polling.isOn else { return input.receive(from: channel, wait: true) }
        let start = MonotonicTime.now()
        let transfer = input.receive(from: channel, wait: true)
        polling.slept(nanoseconds: MonotonicTime.now().nanoseconds &- start.nanoseconds)
        return transfer
    }

    /// Receives the rest of a payload into its place, and what follows it into the buffer.
    mutating func receive(_ rest: MemoryRegion) throws(DisconnectReason) {
        var rest = rest
        while rest.count > 0 {
            let isIdle = replies.isEmpty
            switch input.receive(from: channel, into: rest, wait: isIdle) {
            case .bytes(let count):
                meter.received()
                noteReceived()
                rest = rest.suffix(from: count)
            case .wouldBlock where isIdle: throw .stalled
            // The client may be waiting for these before it sends the rest.
            case .wouldBlock: try sendReplies()
            case .endOfStream: throw stop.isSet ? .stopped : .closedInMessage
            case .failed(let error): throw .failed(error)
            }
        }
    }

    /// Receives more until so many bytes are in the buffer, if they are not yet.
    private mutating func receive(atLeast count: Int) throws(DisconnectReason) {
        while input.count < count {
            let isIdle = replies.isEmpty
            switch input.receive(from: channel, wait: isIdle) {
            case .bytes:
                meter.received()
                noteReceived()
            case .wouldBlock where isIdle: throw .stalled
            case .wouldBlock: try sendReplies()
            case .endOfStream: throw stop.isSet ? .stopped : .closedInMessage
            case .failed(let error): throw .failed(error)
            }
        }
    }
}
