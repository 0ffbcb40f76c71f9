internal import Observability

/// The rates of one command over an interval.
struct CommandRate: Sendable, Equatable {
    /// Requests per second.
    var requests = 0.0
    /// Bytes per second.
    var bytes = 0.0
    /// Service times of the requests in the interval.
    var latency = LatencyHistogram()
}

/// The rates of a server, a disk or a connection over an interval.
struct Rates: Sendable, Equatable {
    var read = CommandRate()
    var write = CommandRate()
    var flush = CommandRate()
    /// Trims and writes of zeros, which transfer no data.
    var trim = CommandRate()
    /// Requests of all other commands per second.
    var otherRequests = 0.0
    /// Errors per second.
    var errors = 0.0
    /// Mean number of requests in a batch, which is the observed queue depth; nil without requests.
    var depth: Double?

    /// Requests of all commands per second.
    var requests: Double {
        read.requests + write.requests + flush.requests + trim.requests + otherRequests
    }
    /// Bytes read and written per second.
    var bytes: Double { read.bytes + write.bytes }
    /// Service times of reads and writes.
    var latency: LatencyHistogram {
        var both = read.latency
        both.add(write.latency)
        return both
    }

    /// Creates rates of zero.
    init() {}

    /// Computes the rates between two copies that are `seconds` apart.
    init(from earlier: Activity, to later: Activity, seconds: Double) {
        guard seconds > 0 else { return }
        let rate = { (name: CommandName) in
            Self.rate(from: earlier.command(name), to: later.command(name), seconds: seconds)
        }
        read = rate(.read)
        write = rate(.write)
        flush = rate(.flush)
        for name in [CommandName.trim, .writeZeroes] {
            let one = rate(name)
            trim.requests += one.requests
            trim.bytes += one.bytes
            trim.latency.add(one.latency)
        }
        for name in [CommandName.disconnect, .cache, .blockStatus, .unknown] {
            otherRequests += rate(name).requests
        }
        let failed = { (activity: Activity) in activity.errors.reduce(0) { $0 &+ $1.requests } }
        errors = Self.difference(failed(earlier), failed(later)) / seconds
        let batches = Self.difference(earlier.batches.count, later.batches.count)
        let batched = Self.difference(earlier.batches.requests, later.batches.requests)
        depth = batches > 0 ? batched / batches : nil
    }

    /// Returns the rate of one command; zero when its counter has decreased, since the copies
    /// are then of different servers.
    private static func rate(
        from earlier: CommandActivity, to later: CommandActivity, seconds: Double
    ) -> CommandRate {
        guard later.requests >= earlier.requests else { return CommandRate() }
        return CommandRate(
            requests: difference(earlier.requests, later.requests) / seconds,
            bytes: difference(earlier.bytes, later.bytes) / seconds,
            latency: later.latency.since(earlier.latency))
    }

    private static func difference(_ earlier: UInt64, _ later: UInt64) -> Double {
        later > earlier ? Double(later - earlier) : 0
    }
}
