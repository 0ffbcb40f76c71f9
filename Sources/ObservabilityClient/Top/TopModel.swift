package import Observability

/// The state of the view. It changes by samples and by keys, and does no I/O.
package struct TopModel: Sendable {
    /// How connections are ordered: the busiest first, but for numbers.
    package enum Order: String, CaseIterable, Sendable {
        case requests, bytes, latency, number
    }

    /// A moment of the past, as far as it is drawn.
    package struct Moment: Sendable, Equatable {
        package var readBytes: Double
        package var writeBytes: Double
        package var requests: Double
        /// 99 % of reads, and of writes, took no longer, in nanoseconds.
        package var readLatency: Double?
        package var writeLatency: Double?
    }

    /// A connection with what it did lately.
    package struct Row: Sendable {
        package var connection: ConnectionStats
        package var rates: Rates
    }

    /// Moments that are kept: more than fit on any line.
    package static let historyLimit = 512

    package var isDecimal = false
    package var isPaused = false
    package private(set) var order = Order.requests
    /// The disk that is looked at; nil for all.
    package private(set) var disk: String?
    package private(set) var stats: Stats?
    package private(set) var rates = Rates()
    package private(set) var rows: [Row] = []
    package private(set) var history: [Moment] = []
    /// Length of the time that the rates are of; nil when there was only one look.
    package private(set) var seconds: Double?

    package init(
        isDecimal: Bool = false, isPaused: Bool = false, order: Order = Order.requests,
        disk: String? = nil, stats: Stats? = nil, rates: Rates = Rates(), rows: [Row] = [],
        history: [Moment] = [], seconds: Double? = nil
    ) {
        self.isDecimal = isDecimal
        self.isPaused = isPaused
        self.order = order
        self.disk = disk
        self.stats = stats
        self.rates = rates
        self.rows = rows
        self.history = history
        self.seconds = seconds
    }
    private var earlier: Stats?

    /// Takes a look at the server, unless it is paused.
    package mutating func take(_ sample: Stats) {
        guard !isPaused else { return }
        earlier = stats
        stats = sample
        if let before = earlier, before.server.pid != sample.server.pid {
            earlier = nil
            history = []
        }
        workOut()
        guard seconds != nil else { return }
        history.append(
            Moment(
                readBytes: rates.read.bytes, writeBytes: rates.write.bytes,
                requests: rates.requests,
                readLatency: rates.read.latency.percentile(99).map(Double.init),
                writeLatency: rates.write.latency.percentile(99).map(Double.init)))
        history.removeFirst(max(0, history.count - Self.historyLimit))
    }

    /// Goes on to the next order of connections.
    package mutating func nextOrder() {
        let all = Order.allCases
        order = all[((all.firstIndex(of: order) ?? 0) + 1) % all.count]
        sort()
    }

    /// Goes on to the next disk; after the last come all of them together.
    package mutating func nextDisk() {
        let names: [String?] = [nil] + (stats?.disks.map(\.export) ?? [])
        // With one disk there is nothing to choose.
        guard names.count > 2 else { return }
        disk = names[((names.firstIndex(of: disk) ?? 0) + 1) % names.count]
        // What was drawn is of others.
        history = []
        workOut()
    }

    private mutating func workOut() {
        seconds = nil
        rates = Rates()
        rows = []
        guard let stats else { return }
        let now = stats.server.monotonicNanoseconds
        let start = earlier?.server.monotonicNanoseconds ?? now
        let elapsed = now > start ? Double(now - start) / 1e9 : 0
        if elapsed > 0 { seconds = elapsed }
        if let earlier {
            rates = Rates(from: activity(earlier), to: activity(stats), seconds: elapsed)
        }
        let before = (earlier?.connections ?? []).reduce(into: [:]) { $0[$1.number] = $1.activity }
        rows = stats.connections.filter { disk == nil || $0.export == disk }.map { connection in
            // One that is new has done all it did since then.
            let rates = Rates(
                from: before[connection.number] ?? Activity(), to: connection.activity,
                seconds: elapsed)
            return Row(connection: connection, rates: rates)
        }
        sort()
    }

    private func activity(_ stats: Stats) -> Activity {
        guard let disk else { return stats.server.activity }
        return stats.disks.first { $0.export == disk }?.activity ?? Activity()
    }

    private mutating func sort() {
        let key = { [order] (row: Row) -> Double in
            switch order {
            case .requests: row.rates.requests
            case .bytes: row.rates.bytes
            case .latency: Double(row.rates.latency.percentile(99) ?? 0)
            case .number: 0
            }
        }
        rows.sort { first, second in
            let (one, other) = (key(first), key(second))
            return one != other ? one > other : first.connection.number < second.connection.number
        }
    }
}
