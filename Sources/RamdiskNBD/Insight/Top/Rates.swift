/// Rates of one command.
struct CommandRate: Sendable, Equatable {
    /// Requests a second.
    var requests = 0.0
    /// Bytes a second.
    var bytes = 0.0
    /// Times of the requests in between.
    var latency = LatencyHistogram()
}

/// Rates of a server, a disk or a connection.
struct Rates: Sendable, Equatable {
    var read = CommandRate()
    var write = CommandRate()
    var flush = CommandRate()
    /// Trims and zeroes, which move no data.
    var trim = CommandRate()
    /// Requests of everything else a second.
    var otherRequests = 0.0
    /// Errors a second.
    var errors = 0.0
    /// Requests in a batch: the queue depth that was seen; nil when nothing came.
    var depth: Double?

    /// All requests a second.
    var requests: Double {
        read.requests + write.requests + flush.requests + trim.requests + otherRequests
    }
    /// Data read and written a second.
    var bytes: Double { read.bytes + write.bytes }
    /// Times of every request that moves data.
    var latency: LatencyHistogram {
        var both = read.latency
        both.add(write.latency)
        return both
    }

    /// Nothing at all.
    init() {}

    /// From one look to a later one.
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
        let failed = { (activity: Activity) in activity.errors.reduce(0) { $0 + $1.requests } }
        errors = Self.difference(failed(earlier), failed(later)) / seconds
        let batches = Self.difference(earlier.batches.count, later.batches.count)
        let batched = Self.difference(earlier.batches.requests, later.batches.requests)
        depth = batches > 0 ? batched / batches : nil
    }

    /// Counters that went back are another server's: nothing is known about the time between.
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
