internal import NBDProtocol

/// The layout of a connection's counter memory, in words of 8 bytes.
///
/// Each group begins on a cache line of its own.
enum CounterLayout {
    // MARK: Counters: the connection's thread writes them, and any thread may read them.

    /// For each command: requests, bytes, errors, and the sum of their nanoseconds.
    static var commands: Int { 0 }
    static var wordsOfCommand: Int { 4 }
    static var requests: Int { 0 }
    static var bytes: Int { 1 }
    static var errors: Int { 2 }
    static var nanoseconds: Int { 3 }
    /// Commands that are counted: those of the protocol, and one for all others.
    static var commandCount: Int { 9 }

    /// Batches, the requests in them, and the batches by size: 1, up to 2, up to 4, … up to 512.
    static var batches: Int { 40 }
    static var batchedRequests: Int { 41 }
    static var batchSizes: Int { 42 }
    static var batchSizeCount: Int { 10 }

    /// Waits that ended while the thread busy-polled, and waits in which it slept.
    static var pollHits: Int { 56 }
    static var pollSleeps: Int { 57 }

    /// Requests that failed, by the error's value on the wire. The last word is for all larger
    /// values, which the specification does not have.
    static var errorKinds: Int { 64 }
    static var errorKindCount: Int { 112 }

    /// For each command a histogram of latencies.
    static var latencies: Int { 176 }
    static var wordsOfLatency: Int { 248 }
    /// Words of all counters.
    static var counterCount: Int { latencies + commandCount * wordsOfLatency }

    // MARK: Notes on requests whose replies have not been sent: only the connection's thread uses them.

    /// For each such request one word: the time of its receive, its command and its error.
    static var pending: Int { counterCount }
    /// Requests that can be noted: more than a batch has replies.
    static var pendingCapacity: Int { 512 }
    /// For each such request, while a trace is being read: offset, length, and the rest as in an
    /// event.
    static var details: Int { pending + pendingCapacity }
    static var wordsOfDetail: Int { 3 }

    // MARK: The ring of a trace: the connection's thread writes it, and readers of traces read it.

    /// Number of events whose writing has begun, and number of events that have been written.
    static var ringBegun: Int { details + pendingCapacity * wordsOfDetail }
    static var ringEnd: Int { ringBegun + 1 }
    static var ring: Int { ringBegun + 8 }
    /// Events in the ring: a reader has some 30 ms before the fastest connection overwrites one.
    static var ringCapacity: Int { 8192 }
    static var wordsOfEvent: Int { 5 }

    /// Bytes of everything. Pages that are not touched take up no memory: without a trace, all but
    /// 24 KiB.
    static var byteCount: Int { (ring + ringCapacity * wordsOfEvent) * 8 }
    // MARK: Indices

    /// Returns the index of a command's counters. All commands that the protocol does not have
    /// share one.
    @inline(__always)
    static func index(of command: Command) -> Int {
        min(Int(command.rawValue), commandCount &- 1)
    }

    /// Returns the index of an error's counter in ``errorKinds``.
    @inline(__always)
    static func index(of error: WireError) -> Int {
        min(Int(truncatingIfNeeded: error.rawValue), errorKindCount &- 1)
    }
}
