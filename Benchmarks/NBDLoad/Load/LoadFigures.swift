internal import Histogram

/// Figures of one connection, or of several put together.
struct LoadFigures: Sendable {
    /// Replies within the measured time.
    var requests = 0
    /// Replies from the first to the last, warm-up included.
    var totalRequests = 0
    /// From the first batch of the measured time to the last; of several connections, the longest.
    var nanoseconds: UInt64 = 0
    /// Of several connections, the sum.
    var requestsPerSecond = 0.0
    /// Calls that sent or received something, within the measured time.
    var sends = 0
    var receives = 0
    /// Processor time of the client within the measured time.
    var processorNanoseconds: UInt64 = 0
    /// Blocks whose content was compared.
    var verifiedBlocks = 0
    /// Nanoseconds from before the send to after the receive.
    var latency = Histogram<UInt64>(
        lowestDiscernibleValue: 1, highestTrackableValue: 1 << 37,
        numberOfSignificantValueDigits: .three)

    /// Forgets what belongs to the warm-up.
    mutating func beginMeasuring() {
        requests = 0
        sends = 0
        receives = 0
        latency.reset()
    }

    /// Ends the measured time.
    mutating func endMeasuring(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
        requestsPerSecond = Double(requests) * 1e9 / Double(max(1, nanoseconds))
    }

    /// Puts another connection's figures to these.
    mutating func add(_ other: LoadFigures) {
        requests += other.requests
        totalRequests += other.totalRequests
        nanoseconds = max(nanoseconds, other.nanoseconds)
        requestsPerSecond += other.requestsPerSecond
        sends += other.sends
        receives += other.receives
        processorNanoseconds += other.processorNanoseconds
        verifiedBlocks += other.verifiedBlocks
        latency.add(other.latency)
    }
}
