// The hot loop: requests in, replies out, nothing in between.
//
// From the first request to the last nothing here allocates, locks, logs or starts a task. A batch
// is whatever one receive brought; it is served to its end, and its replies leave in one send.

internal import LinuxIO
internal import NBDProtocol
internal import SystemPackage

/// The transmission phase of one connection.
struct Transmission: ~Copyable {
    private let channel: Channel
    private let disk: DiskPages
    private let rules: RequestRules
    private let stop: StopSignal
    private var input: ReceiveBuffer
    private var replies: ReplyBatch
    private var polling: AdaptivePolling
    /// Requests served since something was received.
    private var batchSize = 0
    /// Whether what was received last came after the server had been told to stop.
    private var isStopping = false

    init(
        channel: Channel, disk: DiskPages, rules: RequestRules, stop: StopSignal,
        pollMicroseconds: Int
    ) throws(Errno) {
        let input = try ReceiveBuffer()
        let replies = try ReplyBatch()
        self.channel = channel
        self.disk = disk
        self.rules = rules
        self.stop = stop
        self.input = input
        self.replies = replies
        polling = AdaptivePolling(microseconds: pollMicroseconds)
    }

    /// Serves until the connection ends, and answers why it did.
    consuming func run() -> SessionEnd {
        do throws(SessionEnd) {
            while true { try serveAndReceive() }
        } catch {
            // What was served before the end is answered: "finish what is outstanding".
            if error != .stalled { _ = replies.send(to: channel) }
            return error
        }
    }

    /// One turn of the loop. The compiler proves, through all that is called from here, that nothing
    /// allocates or locks, and refuses to build if something does; what it cannot look into (system
    /// calls, memmove) is marked where it is. A debug build does not inline enough for the proof.
    #if !DEBUG
        @_noAllocation @_noLocks
    #endif
    private mutating func serveAndReceive() throws(SessionEnd) {
        try serveBatch()
        try sendReplies()
        try receiveBatch()
    }

    // MARK: - Requests

    /// Serves every request that has arrived whole.
    private mutating func serveBatch() throws(SessionEnd) {
        while input.count >= Request.encodedSize {
            guard let request = input.peekRequest() else { throw .requestMagic }
            input.take(Request.encodedSize)
            try serve(request)
            batchSize &+= 1
        }
    }

    @inline(__always)
    private mutating func serve(_ request: Request) throws(SessionEnd) {
        if replies.isFull { try sendReplies() }
        if request.command == .disconnect { throw .disconnected }
        let error = isStopping ? .shutdown : rules.check(request)
        guard error == .none else { return try refuse(request, error) }
        switch request.command {
        case .read: try read(request)
        case .write: try write(request)
        case .trim:
            disk.trim(at: request.offset, count: request.length)
            reply(request)
        case .writeZeroes:
            let keepSpace = request.flags.contains(.noHole)
            let isDone = disk.writeZeroes(
                at: request.offset, count: request.length, keepSpace: keepSpace)
            reply(request, isDone ? .none : .noSpace)
        default:
            // FLUSH and CACHE: what was written is where it stays, and nearer than memory nothing is.
            reply(request)
        }
    }

    @inline(__always)
    private mutating func reply(_ request: Request, _ error: WireError = .none) {
        replies.append(SimpleReply(error: error, cookie: request.cookie))
    }

    @inline(__always)
    private mutating func read(_ request: Request) throws(SessionEnd) {
        reply(request)
        var offset = request.offset
        var left = request.length
        while true {
            let data = disk.readable(at: offset, count: left)
            replies.append(data: data)
            left &-= UInt64(data.count)
            if left == 0 { return }
            offset &+= UInt64(data.count)
            if !replies.hasRoomForData { try sendReplies() }
        }
    }

    @inline(__always)
    private mutating func write(_ request: Request) throws(SessionEnd) {
        guard let target = disk.beginWrite(at: request.offset, count: request.length) else {
            return try refuse(request, .noSpace)
        }
        // What has arrived is copied; the rest is received into its place.
        let arrived = min(input.count, target.count)
        target.slice(at: 0, count: arrived).copyPastCache(from: input.peek(arrived))
        input.take(arrived)
        if arrived < target.count { try receive(target.suffix(from: arrived)) }
        disk.endWrite(at: request.offset, count: request.length)
        reply(request)
    }

    /// Answers with an error, after a WRITE's payload has been read away.
    private mutating func refuse(_ request: Request, _ error: WireError) throws(SessionEnd) {
        if request.command == .write {
            guard request.length <= Limits.drainedPayload else {
                throw .payloadTooLong(request.length)
            }
            try drain(Int(request.length))
        }
        reply(request, error)
    }

    private mutating func drain(_ count: Int) throws(SessionEnd) {
        var left = count
        while left > 0 {
            if input.count == 0 { try receiveMore() }
            let part = min(left, input.count)
            input.take(part)
            left -= part
        }
    }

    // MARK: - Receiving and sending

    private mutating func sendReplies() throws(SessionEnd) {
        switch replies.send(to: channel) {
        case nil: return
        case .failed(let error): throw .failed(error)
        case .wouldBlock: throw .stalled
        case .endOfStream, .bytes: throw .closed
        }
    }

    /// Waits for the next requests. All replies have been sent.
    private mutating func receiveBatch() throws(SessionEnd) {
        let isBetweenMessages = input.count == 0
        switch lookOrSleep() {
        case .bytes: isStopping = stop.isSet
        case .endOfStream where stop.isSet: throw .stopped
        case .endOfStream: throw isBetweenMessages ? .closed : .closedInMessage
        case .failed(let error): throw .failed(error)
        // The time for a message that has begun is over; that for the next one never is.
        case .wouldBlock: if !isBetweenMessages { throw .stalled }
        }
    }

    /// Looks for the next requests as long as that is likely to pay, then sleeps until they come.
    private mutating func lookOrSleep() -> Transfer {
        polling.begin(afterBatchOf: batchSize)
        batchSize = 0
        while polling.goesOn {
            let transfer = input.receive(from: channel, wait: false)
            if case .wouldBlock = transfer { continue }
            polling.found()
            return transfer
        }
        return sleep()
    }

    /// Waits in the kernel, and lets the polling know for how long.
    private mutating func sleep() -> Transfer {
        guard polling.isOn else { return input.receive(from: channel, wait: true) }
        let start = MonotonicTime.now()
        let transfer = input.receive(from: channel, wait: true)
        polling.slept(nanoseconds: MonotonicTime.now().nanoseconds &- start.nanoseconds)
        return transfer
    }

    /// Receives the rest of a payload into its place, and what follows it into the buffer.
    private mutating func receive(_ rest: MemoryRegion) throws(SessionEnd) {
        var rest = rest
        while rest.count > 0 {
            let isIdle = replies.isEmpty
            switch input.receive(from: channel, into: rest, wait: isIdle) {
            case .bytes(let count): rest = rest.suffix(from: count)
            case .wouldBlock where isIdle: throw .stalled
            // The client may be waiting for these before it sends the rest.
            case .wouldBlock: try sendReplies()
            case .endOfStream: throw stop.isSet ? .stopped : .closedInMessage
            case .failed(let error): throw .failed(error)
            }
        }
    }

    /// Receives more of a payload that is being thrown away, into the buffer.
    private mutating func receiveMore() throws(SessionEnd) {
        while input.count == 0 {
            let isIdle = replies.isEmpty
            switch input.receive(from: channel, wait: isIdle) {
            case .bytes: return
            case .wouldBlock where isIdle: throw .stalled
            case .wouldBlock: try sendReplies()
            case .endOfStream: throw stop.isSet ? .stopped : .closedInMessage
            case .failed(let error): throw .failed(error)
            }
        }
    }
}
