internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// The server's list of connections for whoever asks. It is written when one opens and when it has
/// ended; no thread comes here between its first request and its last.
final class StatisticsRegistry: Sendable {
    private struct State {
        var open: [UInt64: ConnectionCounters] = [:]
        /// What ended connections counted, by export; the last is for those that never chose one.
        var past: [ActivityStatistics]
        var accepted: UInt64 = 0
        var refused: UInt64 = 0
        var violations: UInt64 = 0
        /// For each reader of a trace, what has ended since it looked last.
        var ended: [Int: Ended] = [:]
        var readerCount = 0
    }

    /// Connections that ended before a reader had read them to their end.
    private struct Ended {
        var connections: [ConnectionCounters] = []
        /// Requests of those that are not kept, because they are too many.
        var lostRequests: UInt64 = 0
    }

    private let startedAt = MonotonicTime.now()
    /// Whether anything is counted.
    let isCounting: Bool
    private let readerMemory: MemoryMapping
    /// One word: how many traces are being read. Threads look at it once a batch.
    let readers: AtomicWords
    private let state: Mutex<State>

    /// Ended connections that are kept for a reader that does not come. Each is some 400 KiB.
    private static var endedLimit: Int { 64 }
    /// Most traces at a time.
    static var readerLimit: Int { 8 }

    init(exportCount: Int, isCounting: Bool) throws(Errno) {
        let memory = try MemoryMapping(privateBytes: 8)
        self.isCounting = isCounting
        readers = AtomicWords(memory.region)
        readerMemory = memory
        state = Mutex(
            State(
                past: [ActivityStatistics](repeating: ActivityStatistics(), count: exportCount + 1))
        )
    }

    // MARK: - Connections that come and go

    /// A connection has a thread.
    func add(_ insight: ConnectionCounters) {
        state.withLock { state in
            state.accepted += 1
            state.open[insight.number] = insight
        }
    }

    /// A connection's thread is gone: its counters go to the totals.
    func remove(_ insight: ConnectionCounters) {
        let activity = insight.activity()
        state.withLock { state in
            guard state.open.removeValue(forKey: insight.number) != nil else { return }
            state.past[insight.export ?? state.past.count - 1].add(activity)
            for (reader, var ended) in state.ended {
                if ended.connections.count < Self.endedLimit {
                    ended.connections.append(insight)
                } else {
                    ended.lostRequests += insight.ring.end
                }
                state.ended[reader] = ended
            }
        }
    }

    /// A client was turned away.
    func refused() { state.withLock { $0.refused += 1 } }

    /// A client broke the protocol.
    func violated() { state.withLock { $0.violations += 1 } }

    // MARK: - Figures

    /// Everything at this moment.
    func figures() -> ServerStatistics {
        var figures = ServerStatistics()
        let now = MonotonicTime.now()
        figures.monotonicNanoseconds = now.nanoseconds
        figures.uptimeNanoseconds = now.nanoseconds &- startedAt.nanoseconds
        figures.isCounting = isCounting
        // Copied under the lock, so that none is missed or seen twice while it ends.
        let (all, past) = state.withLock { state in
            figures.accepted = state.accepted
            figures.refused = state.refused
            figures.violations = state.violations
            figures.traceReaders = state.ended.count
            let all = state.open.values.sorted { $0.number < $1.number }
            return (all.map { ($0.hasEnded, $0.figures(at: now)) }, state.past)
        }
        figures.exports = past.dropLast().map { ExportStatistics(activity: $0) }
        for activity in past { figures.activity.add(activity) }
        for (hasEnded, connection) in all {
            figures.activity.add(connection.activity)
            if let export = connection.export {
                figures.exports[export].activity.add(connection.activity)
                if !hasEnded { figures.exports[export].openConnections += 1 }
            }
            if !hasEnded { figures.connections.append(connection) }
        }
        return figures
    }

    // MARK: - Traces

    /// Begins to trace for one more reader; nil when there are too many, or nothing is counted.
    func addReader() -> (id: Int, open: [ConnectionCounters])? {
        guard isCounting else { return nil }
        return state.withLock { state in
            guard state.ended.count < Self.readerLimit else { return nil }
            state.readerCount += 1
            state.ended[state.readerCount] = Ended()
            readers.store(0, UInt64(state.ended.count))
            return (state.readerCount, Array(state.open.values))
        }
    }

    /// A reader is done; with the last one tracing ends.
    func removeReader(_ id: Int) {
        state.withLock { state in
            state.ended[id] = nil
            readers.store(0, UInt64(state.ended.count))
        }
    }

    /// What a reader has to look at now: open connections, and those that have ended since it asked
    /// last, but for some if they are too many; these had so many requests.
    func connections(
        for reader: Int
    ) -> (open: [ConnectionCounters], ended: [ConnectionCounters], lostRequests: UInt64) {
        state.withLock { state in
            let ended = state.ended[reader] ?? Ended()
            if state.ended[reader] != nil { state.ended[reader] = Ended() }
            return (Array(state.open.values), ended.connections, ended.lostRequests)
        }
    }
}
