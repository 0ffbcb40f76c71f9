// What the hot loop tells of itself. Everything here is plain loads and stores to memory that only
// this thread writes; whoever looks, looks at that memory, and is never waited for.

internal import LinuxIO
internal import NBDProtocol

/// Counts the requests of one connection, takes their times, and writes its trace.
///
/// The clock is read once for each receive and once for each send: a request's time is from the
/// receive that brought it to the send that took its reply, so all requests of a batch share it. The
/// memory belongs to the connection's ``ConnectionCounters``, which outlives its thread.
struct Meter {
    private let words: AtomicWords
    /// The server's count of those who read traces.
    private let traceReaders: AtomicWords
    private let connection: UInt64
    private let isOn: Bool
    /// When the last bytes were received.
    private var receivedAt: UInt64 = 0
    /// Requests whose replies have not been sent.
    private var pending = 0
    /// What the request that is being served has been refused with.
    private var error = WireError.none
    /// Whether these are to be written to the trace.
    private var isTracing = false

    init(
        words: AtomicWords, traceReaders: AtomicWords, connection: UInt64, isOn: Bool
    ) {
        self.words = words
        self.traceReaders = traceReaders
        self.connection = connection
        self.isOn = isOn
    }

    /// Bytes have been received.
    @inline(__always)
    mutating func received() {
        guard isOn else { return }
        receivedAt = MonotonicTime.now().nanoseconds
        if pending == 0 { isTracing = traceReaders.loadRelaxed(0) != 0 }
    }

    /// A request's header has been decoded.
    @inline(__always)
    func begins(_ request: Request) {
        Probes.requestReceived(
            connection, command: UInt64(request.command.rawValue), offset: request.offset,
            length: request.length)
    }

    /// The request that is being served gets an error.
    mutating func refuses(with error: WireError) { self.error = error }

    /// A request has been served, and its reply waits to be sent.
    @inline(__always)
    mutating func served(_ request: Request) {
        guard isOn else { return }
        let command = CountedCommand.place(of: request.command)
        let counters = CounterLayout.commands &+ command &* CounterLayout.wordsOfCommand
        words.addRelaxed(counters &+ CounterLayout.requests, by: 1)
        var mark = receivedAt &<< Self.timeShift | UInt64(truncatingIfNeeded: command)
        if error == .none {
            words.addRelaxed(counters &+ CounterLayout.bytes, by: request.length)
        } else {
            mark |= UInt64(truncatingIfNeeded: countError(counters)) &<< Self.errorShift
        }
        if pending == CounterLayout.pendingCapacity { settle() }
        words.storeRelaxed(CounterLayout.pending &+ pending, mark)
        if isTracing { note(request) }
        error = .none
        pending &+= 1
    }

    /// The client says that it is done, which has no reply.
    mutating func disconnected() {
        guard isOn else { return }
        let counters =
            CounterLayout.commands
            + CountedCommand.place(of: .disconnect) * CounterLayout.wordsOfCommand
        words.addRelaxed(counters &+ CounterLayout.requests, by: 1)
    }

    /// All replies have been sent.
    @inline(__always)
    mutating func sent() {
        if pending > 0 { settle() }
    }

    /// The next requests were found while looking, or else after a sleep.
    @inline(__always)
    func waited(asleep: Bool) {
        guard isOn else { return }
        words.addRelaxed(asleep ? CounterLayout.pollSleeps : CounterLayout.pollHits, by: 1)
    }

    // MARK: - Marks: time, error and command of a request in one word

    private static var errorShift: UInt64 { 4 }
    private static var timeShift: UInt64 { 8 }
    /// What is left of a difference of two times of 56 bits: over two years.
    private static var timeMask: UInt64 { ~0 >> 8 }

    private func countError(_ counters: Int) -> Int {
        let place = CountedError.place(of: error)
        words.addRelaxed(counters &+ CounterLayout.errors, by: 1)
        words.addRelaxed(CounterLayout.errorKinds &+ place, by: 1)
        return place
    }

    private func note(_ request: Request) {
        let place = CounterLayout.details &+ pending &* CounterLayout.wordsOfDetail
        words.storeRelaxed(place, request.offset)
        words.storeRelaxed(place &+ 1, request.length)
        words.storeRelaxed(
            place &+ 2,
            UInt64(request.command.rawValue) | UInt64(request.flags.rawValue) &<< 16
                | UInt64(error.rawValue) &<< 32)
    }

    // MARK: - After a send

    /// Takes the time of all pending requests; runs of equal marks, which are most batches, at once.
    private mutating func settle() {
        let now = MonotonicTime.now().nanoseconds
        var index = 0
        while index < pending {
            let mark = words.loadRelaxed(CounterLayout.pending &+ index)
            let nanoseconds = (now &- mark &>> Self.timeShift) & Self.timeMask
            let command = Int(truncatingIfNeeded: mark & 15)
            let error = CountedError.number(at: mark &>> Self.errorShift & 15)
            let first = index
            repeat {
                Probes.requestDone(
                    connection, command: mark & 15, error: error, nanoseconds: nanoseconds)
                if isTracing { trace(index, nanoseconds, endedAt: now) }
                index &+= 1
            } while index < pending && words.loadRelaxed(CounterLayout.pending &+ index) == mark
            let count = UInt64(truncatingIfNeeded: index &- first)
            words.addRelaxed(
                CounterLayout.latencies &+ command &* CounterLayout.wordsOfLatency
                    &+ LatencyScale.bucket(of: nanoseconds), by: count)
            words.addRelaxed(
                CounterLayout.commands &+ command &* CounterLayout.wordsOfCommand
                    &+ CounterLayout.nanoseconds, by: nanoseconds &* count)
        }
        countBatch()
        pending = 0
    }

    @inline(__always)
    private func countBatch() {
        words.addRelaxed(CounterLayout.batches, by: 1)
        words.addRelaxed(CounterLayout.batchedRequests, by: UInt64(truncatingIfNeeded: pending))
        // The power of two that it does not exceed.
        let size = Int.bitWidth &- (pending &- 1).leadingZeroBitCount
        words.addRelaxed(
            CounterLayout.batchSizes &+ min(size, CounterLayout.batchSizeCount &- 1), by: 1)
    }

    private func trace(_ index: Int, _ nanoseconds: UInt64, endedAt: UInt64) {
        let detail = CounterLayout.details &+ index &* CounterLayout.wordsOfDetail
        TraceRing(words: words).append(
            receivedAt: endedAt &- nanoseconds, nanoseconds: nanoseconds,
            offset: words.loadRelaxed(detail), length: words.loadRelaxed(detail &+ 1),
            rest: words.loadRelaxed(detail &+ 2))
    }
}
