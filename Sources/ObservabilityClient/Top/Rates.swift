package import Observability

/// Rates of one command.
package struct CommandRate: Sendable, Equatable {
    /// Requests a second.
    package var requests = 0.0
    /// Bytes a second.
    package var bytes = 0.0
    /// Times of the requests in between.
    package var latency = LatencyHistogram()
}

/// Rates of a server, a disk or a connection.
package struct Rates: Sendable, Equatable {
    package var read = CommandRate()
    package var write = CommandRate()
    package var flush = CommandRate()
    /// Trims and zeroes, which move no data.
    package var trim = CommandRate()
    /// Requests of everything else a second.
    package var otherRequests = 0.0
    /// Errors a second.
    package var errors = 0.0
    /// Requests in a batch: the queue depth that was seen; nil when nothing came.
    package var depth: Double?

    /// All requests a second.
    package var requests: Double {
        read.requests + write.requests + flush.requests + trim.requests + otherRequests
    }
    /// Data read and written a second.
    package var bytes: Double { read.bytes + write.bytes }
    /// Times of every request that moves data.
    package var latency: LatencyHistogram {
        var both = read.latency
        both.add(write.latency)
        return both
    }

    /// Nothing at all.
    package init() {}

    /// From one look to a later one.
    package init(from earlier: Activity, to later: Activity, seconds: Double) {
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
