internal import Observability

/// The state of the view of `top`. Samples and keys change it; it does no I/O.
struct TopModel: Sendable {
    /// The order of connections: ascending by id, otherwise descending.
    enum Order: String, CaseIterable, Sendable {
        case requests, bytes, latency, number
    }

    /// The values of one earlier interval that the sparklines draw.
    struct HistoryEntry: Sendable, Equatable {
        var readBytes: Double
        var writeBytes: Double
        var requests: Double
        /// The 99th percentiles of the service times of reads and of writes, in nanoseconds.
        var readLatency: Double?
        var writeLatency: Double?
    }

    /// A connection with its rates in the latest interval.
    struct Row: Sendable {
        var connection: ConnectionStats
        var rates: Rates
    }

    /// Maximum number of history entries: more than fit on any line.
    static let historyLimit = 512

    var isDecimal = false
    var isPaused = false
    private(set) var order = Order.requests
    /// The export of the disk that is shown; nil for all disks.
    private(set) var disk: String?
    private(set) var stats: Stats?
    private(set) var rates = Rates()
    private(set) var rows: [Row] = []
    private(set) var history: [HistoryEntry] = []
    /// Length of the interval of the rates; nil until there are two samples.
    private(set) var seconds: Double?

    private var earlier: Stats?

    /// Adds a sample of the server's statistics, unless the view is paused.
    mutating func add(_ sample: Stats) {
        guard !isPaused else { return }
        earlier = stats
        stats = sample
        if let before = earlier, before.server.pid != sample.server.pid {
            earlier = nil
            history = []
        }
        updateRates()
        guard seconds != nil else { return }
        history.append(
            HistoryEntry(
                readBytes: rates.read.bytes, writeBytes: rates.write.bytes,
                requests: rates.requests,
                readLatency: rates.read.latency.percentile(99).map(Double.init),
                writeLatency: rates.write.latency.percentile(99).map(Double.init)))
        history.removeFirst(max(0, history.count - Self.historyLimit))
    }

    /// Selects the next order of connections.
    mutating func nextOrder() {
        let all = Order.allCases
        order = all[((all.firstIndex(of: order) ?? 0) + 1) % all.count]
        sort()
    }

    /// Selects the next disk; after the last, all disks.
    mutating func nextDisk() {
        let names: [String?] = [nil] + (stats?.disks.map(\.export) ?? [])
        // With one disk there is no choice.
        guard names.count > 2 else { return }
        disk = names[((names.firstIndex(of: disk) ?? 0) + 1) % names.count]
        // The history is of the disks that were shown before.
        history = []
        updateRates()
    }

    private mutating func updateRates() {
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
            // A connection that is new since the earlier sample has done everything in this
            // interval.
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
