internal import LinuxIO
public import NBDProtocol

/// Requests, errors, batches and polling of one connection, or the sums of several connections.
public struct ActivityStatistics: Sendable, Equatable {
    private var words: [UInt64]

    /// The commands that are counted: those of the protocol, and one that stands for all others.
    public static var commands: [Command] { Command.allCases + [Command(rawValue: .max)] }

    /// Statistics in which everything is 0.
    public init() {
        words = [UInt64](repeating: 0, count: CounterLayout.counterCount)
    }

    /// A copy of a connection's counters.
    ///
    /// The connection's thread may change them meanwhile. Each counter is read once, without any
    /// order between them, so the copy can contain a request in one counter and not yet in another.
    init(copying counters: AtomicWords) {
        words = (0..<CounterLayout.counterCount).map { counters.loadRelaxed($0) }
    }

    /// Adds the counters of another connection to these.
    public mutating func add(_ other: ActivityStatistics) {
        for index in words.indices { words[index] &+= other.words[index] }
    }

    /// Returns the number of a command's requests, with or without an error.
    public func requests(of command: Command) -> UInt64 {
        word(CounterLayout.requests, of: command)
    }

    /// Returns the sum of the lengths of a command's successful requests, in bytes.
    public func bytes(of command: Command) -> UInt64 {
        word(CounterLayout.bytes, of: command)
    }

    /// Returns the number of a command's requests that failed.
    public func errors(of command: Command) -> UInt64 {
        word(CounterLayout.errors, of: command)
    }

    /// Returns the sum of the service times of a command's requests.
    public func nanoseconds(of command: Command) -> UInt64 {
        word(CounterLayout.nanoseconds, of: command)
    }

    /// Returns the number of a command's requests in each bucket of ``LatencyScale``.
    public func latencies(of command: Command) -> [UInt64] {
        let first =
            CounterLayout.latencies + CounterLayout.index(of: command)
            * CounterLayout.wordsOfLatency
        return Array(words[first..<first + LatencyScale.bucketCount])
    }

    /// Returns the number of requests that failed with an error.
    public func requests(failedWith error: WireError) -> UInt64 {
        words[CounterLayout.errorKinds + CounterLayout.index(of: error)]
    }

    /// The errors of the failed requests and how often each occurred, without those that did not
    /// occur. `other` is for errors that the specification does not have.
    public var errorCounts: [(name: String, requests: UInt64)] {
        let known = WireError.allCases.map { (name: $0.name, requests: requests(failedWith: $0)) }
        let first = CounterLayout.errorKinds
        let all = words[first..<first + CounterLayout.errorKindCount].reduce(0, +)
        let other = all - known.reduce(0) { $0 + $1.requests }
        return (known + [("other", other)]).filter { $0.requests > 0 }
    }

    /// Number of sends that contained replies.
    public var batches: UInt64 { words[CounterLayout.batches] }
    /// Number of requests whose replies these sends contained.
    public var batchedRequests: UInt64 { words[CounterLayout.batchedRequests] }
    /// Number of batches of 1, of up to 2, 4, 8, … 512 and more requests.
    public var batchesBySize: [UInt64] {
        let first = CounterLayout.batchSizes
        return Array(words[first..<first + CounterLayout.batchSizeCount])
    }
    /// Number of waits that ended while the thread busy-polled.
    public var pollHits: UInt64 { words[CounterLayout.pollHits] }
    /// Number of waits in which the thread slept.
    public var pollSleeps: UInt64 { words[CounterLayout.pollSleeps] }

    /// Number of requests of all commands.
    public var requests: UInt64 {
        Self.commands.reduce(0) { $0 + requests(of: $1) }
    }

    /// Number of requests of all commands that failed.
    public var errors: UInt64 {
        Self.commands.reduce(0) { $0 + errors(of: $1) }
    }

    private func word(_ offset: Int, of command: Command) -> UInt64 {
        words[
            CounterLayout.commands + CounterLayout.index(of: command) * CounterLayout.wordsOfCommand
                + offset]
    }
}

extension ActivityStatistics: CustomStringConvertible {
    /// Requests, errors and bytes in one line; not every counter.
    public var description: String {
        "\(requests) requests, \(errors) errors, \(bytes(of: .read)) bytes read, "
            + "\(bytes(of: .write)) bytes written"
    }
}
