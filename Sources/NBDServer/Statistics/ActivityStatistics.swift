internal import LinuxIO
internal import NBDProtocol

/// Requests, errors, batches and polling, as they were at one moment.
public struct ActivityStatistics: Sendable, Equatable {
    private var words: [UInt64]

    /// Nothing happened.
    public init() {
        words = [UInt64](repeating: 0, count: CounterLayout.counterCount)
    }

    /// What counters say now, while their thread may go on.
    init(copying counters: AtomicWords) {
        words = (0..<CounterLayout.counterCount).map { counters.loadRelaxed($0) }
    }

    /// Puts others to these.
    public mutating func add(_ other: ActivityStatistics) {
        for index in words.indices { words[index] &+= other.words[index] }
    }

    /// Requests of a command that were answered, with or without an error.
    public func requests(of command: CountedCommand) -> UInt64 {
        word(CounterLayout.requests, of: command)
    }

    /// Sum of the lengths of a command's requests that went well.
    public func bytes(of command: CountedCommand) -> UInt64 {
        word(CounterLayout.bytes, of: command)
    }

    /// Requests of a command that were answered with an error.
    public func errors(of command: CountedCommand) -> UInt64 {
        word(CounterLayout.errors, of: command)
    }

    /// Sum of the service times of a command's requests.
    public func nanoseconds(of command: CountedCommand) -> UInt64 {
        word(CounterLayout.nanoseconds, of: command)
    }

    /// How many of a command's requests took how long, by the buckets of ``LatencyScale``.
    public func latencies(of command: CountedCommand) -> [UInt64] {
        let first = CounterLayout.latencies + command.rawValue * CounterLayout.wordsOfLatency
        return Array(words[first..<first + LatencyScale.bucketCount])
    }

    /// Requests that were answered with this error.
    public func requests(answeredWith error: CountedError) -> UInt64 {
        words[CounterLayout.errorKinds + error.rawValue]
    }

    /// Sends that took replies along.
    public var batches: UInt64 { words[CounterLayout.batches] }
    /// Requests whose replies they took.
    public var batchedRequests: UInt64 { words[CounterLayout.batchedRequests] }
    /// Batches of 1, of up to 2, 4, 8, … 512 and more requests.
    public var batchesBySize: [UInt64] {
        Array(
            words[
                CounterLayout.batchSizes..<CounterLayout.batchSizes + CounterLayout.batchSizeCount])
    }
    /// Waits that ended while the thread was looking.
    public var pollHits: UInt64 { words[CounterLayout.pollHits] }
    /// Waits that the thread slept through.
    public var pollSleeps: UInt64 { words[CounterLayout.pollSleeps] }

    /// Requests of every command.
    public var requests: UInt64 {
        CountedCommand.allCases.reduce(0) { $0 + requests(of: $1) }
    }

    private func word(_ index: Int, of command: CountedCommand) -> UInt64 {
        words[CounterLayout.commands + command.rawValue * CounterLayout.wordsOfCommand + index]
    }
}
