internal import LinuxIO
internal import NBDProtocol

/// Counts the requests of one connection, measures their latencies, and writes their trace.
///
/// The connection's thread reads the clock once for each receive and once for each send. A
/// request's latency is the time from the receive that brought it to the end of the send that took
/// its reply, so all requests of a batch share it.
///
/// Only this thread writes the counters, with relaxed loads and stores, which are plain
/// instructions. Other threads read the counters at any time; this thread never waits for them. The
/// memory belongs to the connection's ``ConnectionCounters``, which outlives the thread.
struct Meter {
    private let words: AtomicWords
    /// The server's number of trace readers (``StatisticsRegistry/readers``).
    private let traceReaders: AtomicWords
    private let connection: UInt64
    private let isOn: Bool
    /// Time of the last receive.
    private var receivedAt: UInt64 = 0
    /// Number of requests whose replies have not been sent.
    private var pending = 0
    /// The error of the request that is being served.
    private var error = WireError.none
    /// Whether the pending requests will be written to the trace.
    private var isTracing = false

    init(
        words: AtomicWords, traceReaders: AtomicWords, connection: UInt64, isOn: Bool
    ) {
        self.words = words
        self.traceReaders = traceReaders
        self.connection = connection
        self.isOn = isOn
    }

    /// Records that bytes have been received.
    @inline(__always)
    mutating func recordReceive() {
        guard isOn else { return }
        receivedAt = MonotonicTime.now().nanoseconds
        if pending == 0 { isTracing = traceReaders.loadRelaxed(0) != 0 }
    }

    /// Records that a request's header has been decoded.
    @inline(__always)
    func recordRequest(_ request: Request) {
        Probes.requestReceived(
            connection, command: UInt64(request.command.rawValue), offset: request.offset,
            length: request.length)
    }

    /// Records that the request that is being served fails.
    mutating func recordError(_ error: WireError) { self.error = error }

    /// Records that a request has been served and its reply waits to be sent.
    @inline(__always)
    mutating func recordReply(to request: Request) {
        guard isOn else { return }
        let command = CounterLayout.index(of: request.command)
        let counters = CounterLayout.commands &+ command &* CounterLayout.wordsOfCommand
        words.addRelaxed(counters &+ CounterLayout.requests, by: 1)
        var note = receivedAt &<< Self.timeShift | UInt64(truncatingIfNeeded: command)
        if error == .none {
            words.addRelaxed(counters &+ CounterLayout.bytes, by: request.length)
        } else {
            countError(counters)
            note |= UInt64(min(error.rawValue, 255)) &<< Self.errorShift
        }
        if pending == CounterLayout.pendingCapacity { finishPending() }
        words.storeRelaxed(CounterLayout.pending &+ pending, note)
        if isTracing { noteDetails(of: request) }
        error = .none
        pending &+= 1
    }

    /// Records a disconnect request, which has no reply.
    mutating func recordDisconnect() {
        guard isOn else { return }
        let command = CounterLayout.index(of: .disconnect)
        let counters = CounterLayout.commands &+ command &* CounterLayout.wordsOfCommand
        words.addRelaxed(counters &+ CounterLayout.requests, by: 1)
    }

    /// Records that all replies have been sent.
    @inline(__always)
    mutating func recordSend() {
        if pending > 0 { finishPending() }
    }

    /// Records how a wait for requests ended: during a sleep, or else while busy-polling.
    @inline(__always)
    func recordWait(asleep: Bool) {
        guard isOn else { return }
        words.addRelaxed(asleep ? CounterLayout.pollSleeps : CounterLayout.pollHits, by: 1)
    }

    // MARK: - Notes: the time, error and command of a pending request in one word

    /// A command's index is in the lowest 4 bits. An error's value is in the next 8, with 255 for
    /// larger values, which the specification does not have.
    private static var errorShift: UInt64 { 4 }
    /// A time is in the upper 52 bits, so latencies are exact up to 2^52 ns: 52 days.
    private static var timeShift: UInt64 { 12 }
    private static var timeMask: UInt64 { ~0 >> timeShift }

    private func countError(_ counters: Int) {
        words.addRelaxed(counters &+ CounterLayout.errors, by: 1)
        words.addRelaxed(CounterLayout.errorKinds &+ CounterLayout.index(of: error), by: 1)
    }

    private func noteDetails(of request: Request) {
        let first = CounterLayout.details &+ pending &* CounterLayout.wordsOfDetail
        words.storeRelaxed(first, request.offset)
        words.storeRelaxed(first &+ 1, request.length)
        words.storeRelaxed(
            first &+ 2,
            UInt64(request.command.rawValue) | UInt64(request.flags.rawValue) &<< 16
                | UInt64(error.rawValue) &<< 32)
    }

    // MARK: - After a send

    /// Counts the latencies of all pending requests. Most batches are runs of equal notes, which
    /// are counted together.
    private mutating func finishPending() {
        let now = MonotonicTime.now().nanoseconds
        var index = 0
        while index < pending {
            let note = words.loadRelaxed(CounterLayout.pending &+ index)
            let nanoseconds = (now &- note &>> Self.timeShift) & Self.timeMask
            let command = Int(truncatingIfNeeded: note & 15)
            let error = note &>> Self.errorShift & 255
            let first = index
            repeat {
                Probes.requestDone(
                    connection, command: note & 15, error: error, nanoseconds: nanoseconds)
                if isTracing { trace(index, nanoseconds, endedAt: now) }
                index &+= 1
            } while index < pending && words.loadRelaxed(CounterLayout.pending &+ index) == note
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
        // The exponent of the smallest power of two that is not below the batch's size.
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
