internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// The server's connections, for the threads that ask for statistics or read traces.
///
/// Threads take its lock when a connection opens, when one has ended, and for each copy of the
/// statistics and each read of a trace. A connection's thread never takes it between its first request and its
/// last.
final class StatisticsRegistry: Sendable {
    private struct State {
        var open: [UInt64: ConnectionCounters] = [:]
        /// The sums over ended connections, by the names of their exports.
        var past: [String: ActivityStatistics]
        /// The sum over ended connections without an export, or whose export was removed.
        var pastOfOthers = ActivityStatistics()
        var accepted: UInt64 = 0
        var rejected: UInt64 = 0
        var violations: UInt64 = 0
        /// For each reader of a trace, the connections that have ended since it last asked.
        var ended: [Int: Ended] = [:]
        var readerCount = 0
    }

    /// Connections that ended before a reader had read their traces to the end.
    private struct Ended {
        var connections: [ConnectionCounters] = []
        /// Requests of connections that were not kept because there were too many.
        var lostRequests: UInt64 = 0
    }

    private let startedAt = MonotonicTime.now()
    /// Whether requests are counted.
    let isCounting: Bool
    private let readerMemory: MemoryMapping
    /// One word: the number of traces that are being read. The connections' threads read it once a
    /// batch.
    let readers: AtomicWords
    private let state: Mutex<State>

    /// The largest number of ended connections that are kept for one reader. Each has some 400 KiB.
    private static var endedLimit: Int { 64 }
    /// The largest number of traces that can be read at a time.
    static var readerLimit: Int { 8 }

    init(exports: [String], isCounting: Bool) throws(Errno) {
        let memory = try MemoryMapping(privateBytes: 8)
        self.isCounting = isCounting
        readers = AtomicWords(memory.region)
        readerMemory = memory
        state = Mutex(
            State(past: Dictionary(uniqueKeysWithValues: exports.map { ($0, .init()) })))
    }

    // MARK: - Exports

    /// Adds an export.
    func add(export name: String) { state.withLock { $0.past[name] = ActivityStatistics() } }

    /// Removes an export. What its connections have done remains in the server's sums.
    func remove(export name: String) {
        state.withLock { state in
            if let activity = state.past.removeValue(forKey: name) {
                state.pastOfOthers.add(activity)
            }
        }
    }

    // MARK: - Connections

    /// Adds a connection that has been accepted.
    func add(_ counters: ConnectionCounters) {
        state.withLock { state in
            state.accepted += 1
            state.open[counters.number] = counters
        }
    }

    /// Removes a connection whose thread has ended, and adds its counters to the sums.
    func remove(_ counters: ConnectionCounters) {
        let activity = counters.activity()
        state.withLock { state in
            guard state.open.removeValue(forKey: counters.number) != nil else { return }
            if let export = counters.export, state.past[export] != nil {
                state.past[export]?.add(activity)
            } else {
                state.pastOfOthers.add(activity)
            }
            for (reader, var ended) in state.ended {
                if ended.connections.count < Self.endedLimit {
                    ended.connections.append(counters)
                } else {
                    ended.lostRequests += counters.ring.end
                }
                state.ended[reader] = ended
            }
        }
    }

    /// Records that a client was rejected.
    func recordRejection() { state.withLock { $0.rejected += 1 } }

    /// Records that a client violated the protocol.
    func recordViolation() { state.withLock { $0.violations += 1 } }

    // MARK: - Statistics

    /// Returns the statistics of the server and all connections.
    ///
    /// - Parameter exports: the names of the server's exports, in their order.
    func statistics(exports: [String]) -> ServerStatistics {
        var statistics = ServerStatistics()
        let now = MonotonicTime.now()
        statistics.monotonicNanoseconds = now.nanoseconds
        statistics.uptimeNanoseconds = now.nanoseconds &- startedAt.nanoseconds
        statistics.isCounting = isCounting
        // The counters are copied under the lock, so that no connection is missed or counted twice
        // while it ends.
        let (connections, past, others) = state.withLock { state in
            statistics.accepted = state.accepted
            statistics.rejected = state.rejected
            statistics.violations = state.violations
            statistics.traceReaders = state.ended.count
            let open = state.open.values.sorted { $0.number < $1.number }
            return (
                open.map { ($0.hasEnded, $0.statistics(at: now)) }, state.past, state.pastOfOthers
            )
        }
        var byExport: [String: ExportStatistics] = [:]
        for name in exports {
            byExport[name] = ExportStatistics(
                name: name, activity: past[name] ?? ActivityStatistics())
        }
        statistics.activity = past.values.reduce(into: others) { $0.add($1) }
        for (hasEnded, connection) in connections {
            statistics.activity.add(connection.activity)
            if let export = connection.export {
                byExport[export]?.activity.add(connection.activity)
                if !hasEnded { byExport[export]?.openConnections += 1 }
            }
            if !hasEnded { statistics.connections.append(connection) }
        }
        statistics.exports = exports.compactMap { byExport[$0] }
        return statistics
    }

    // MARK: - Traces

    /// Adds a reader of traces, and returns its id and the open connections. Returns nil if there
    /// are too many readers, or requests are not counted.
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

    /// Removes a reader. Without readers, connections write no traces.
    func removeReader(_ id: Int) {
        state.withLock { state in
            state.ended[id] = nil
            readers.store(0, UInt64(state.ended.count))
        }
    }

    /// Returns the open connections, those that have ended since the reader last called this, and
    /// the number of requests of ended connections that were not kept because there were too many.
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
