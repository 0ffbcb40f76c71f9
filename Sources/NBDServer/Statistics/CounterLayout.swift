/// Where things lie in a connection's insight memory, in words of 8 bytes. Each group begins on a
/// cache line of its own.
enum CounterLayout {
    // MARK: Counters: only the connection's thread writes them, anybody reads.

    /// For each command its requests, bytes, errors, and the sum of their nanoseconds.
    static var commands: Int { 0 }
    static var wordsOfCommand: Int { 4 }
    static var requests: Int { 0 }
    static var bytes: Int { 1 }
    static var errors: Int { 2 }
    static var nanoseconds: Int { 3 }
    static var commandCount: Int { 9 }

    /// For each error how often it was answered.
    static var errorKinds: Int { 40 }
    static var errorCount: Int { 10 }

    /// Batches, the requests in them, and batches by size: 1, up to 2, up to 4, … up to 512.
    static var batches: Int { 56 }
    static var batchedRequests: Int { 57 }
    static var batchSizes: Int { 58 }
    static var batchSizeCount: Int { 10 }

    /// Waits that ended while looking, and waits that ended a sleep.
    static var pollHits: Int { 72 }
    static var pollSleeps: Int { 73 }

    /// For each command a histogram of latencies.
    static var latencies: Int { 80 }
    static var wordsOfLatency: Int { 248 }
    /// All of the above.
    static var counterCount: Int { latencies + commandCount * wordsOfLatency }

    // MARK: The connection's own notes on requests whose replies have not been sent yet.

    /// For each of them when it was received, its command and its error, in one word.
    static var pending: Int { counterCount }
    /// More than the replies of a batch.
    static var pendingCapacity: Int { 512 }
    /// For each of them, while somebody traces: offset, length, and the rest as in an event.
    static var details: Int { pending + pendingCapacity }
    static var wordsOfDetail: Int { 3 }

    // MARK: The ring of a trace.

    /// How many events have been begun, and how many are whole.
    static var ringClaimed: Int { details + pendingCapacity * wordsOfDetail }
    static var ringWhole: Int { ringClaimed + 1 }
    static var ring: Int { ringClaimed + 8 }
    /// Events that a reader has time for: some 30 ms of the fastest a connection can be.
    static var ringCapacity: Int { 8192 }
    static var wordsOfEvent: Int { 5 }

    /// Bytes of all. What is not touched takes no memory: without a trace that is all but 24 KiB.
    static var byteCount: Int { (ring + ringCapacity * wordsOfEvent) * 8 }
}
