internal import Histogram

/// The statistics of one connection, or the totals of several.
struct LoadFigures: Sendable {
    /// Replies during the measurement.
    var requests = 0
    /// All replies, including those of the warm-up.
    var totalRequests = 0
    /// Time from the first to the last batch of the measurement, in nanoseconds; the longest of several
    /// connections.
    var nanoseconds: UInt64 = 0
    /// Rate; the sum of several connections.
    var requestsPerSecond = 0.0
    /// The rates of the connections, in requests per second.
    var rates: [Double] = []
    /// Calls that sent something during the measurement.
    var sends = 0
    /// Calls that received something during the measurement.
    var receives = 0
    /// Processor time of the client during the measurement, in nanoseconds.
    var processorNanoseconds: UInt64 = 0
    /// Blocks whose content was checked.
    var verifiedBlocks = 0
    /// Latency in nanoseconds, from before the send to after the receive.
    var latency = Histogram<UInt64>(
        lowestDiscernibleValue: 1, highestTrackableValue: 1 << 37,
        numberOfSignificantValueDigits: .three)

    /// Drops the counts of the warm-up.
    mutating func beginMeasuring() {
        requests = 0
        sends = 0
        receives = 0
        latency.reset()
    }

    /// Ends the measurement.
    mutating func endMeasuring(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
        requestsPerSecond = Double(requests) * 1e9 / Double(max(1, nanoseconds))
        rates = [requestsPerSecond]
    }

    /// Jain's index of the connections' rates: 1 when all are equal, 1/n when one of n has everything; nil when no
    /// connection had any.
    var fairness: Double? {
        let sum = rates.reduce(0, +)
        guard sum > 0 else { return nil }
        return sum * sum / (Double(rates.count) * rates.reduce(0) { $0 + $1 * $1 })
    }

    /// Adds the statistics of another connection.
    mutating func add(_ other: LoadFigures) {
        requests += other.requests
        totalRequests += other.totalRequests
        nanoseconds = max(nanoseconds, other.nanoseconds)
        requestsPerSecond += other.requestsPerSecond
        rates += other.rates
        sends += other.sends
        receives += other.receives
        processorNanoseconds += other.processorNanoseconds
        verifiedBlocks += other.verifiedBlocks
        latency.add(other.latency)
    }
}
