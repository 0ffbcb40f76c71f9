internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// The counters and the trace of one connection.
///
/// The memory is mapped when the connection opens, has a fixed size, and exists as long as this
/// object. The connection's thread writes it through ``meter``; other threads read it.
final class ConnectionCounters: Sendable {
    /// The connection's id.
    let number: UInt64
    /// The client in words.
    let client: String
    /// When the connection opened.
    let openedAt = MonotonicTime.now()
    /// The connection's thread counts with a copy of this.
    let meter: Meter
    /// The trace.
    let ring: TraceRing
    private let memory: MemoryMapping
    private let words: AtomicWords
    private let chosenExport = Mutex<String?>(nil)
    private let encrypted = Atomic<Bool>(false)
    private let ended = Atomic<Bool>(false)

    init(
        number: UInt64, peer: Peer?, in registry: StatisticsRegistry
    ) throws(Errno) {
        self.number = number
        client = peer.map { "\($0)" } ?? "handed over"
        memory = try MemoryMapping(privateBytes: CounterLayout.byteCount)
        words = AtomicWords(memory.region)
        ring = TraceRing(words: words)
        meter = Meter(
            words: words, traceReaders: registry.readers, connection: number,
            isOn: registry.isCounting)
    }

    /// The name of the connection's export; nil until the client has chosen one.
    var export: String? { chosenExport.withLock { $0 } }

    /// Records that the client has chosen an export.
    func choose(export name: String) { chosenExport.withLock { $0 = name } }

    /// Whether the connection is encrypted.
    var isEncrypted: Bool { encrypted.load(ordering: .relaxed) }

    /// Records that the connection is encrypted from now on.
    func encrypt() { encrypted.store(true, ordering: .relaxed) }

    /// Whether the connection has ended; the acceptor may not have removed it yet.
    ///
    /// A thread that reads true also reads everything that the connection has counted: this
    /// acquires what ``end()`` released.
    var hasEnded: Bool { ended.load(ordering: .acquiring) }

    /// Records that the connection has ended. To be called by its thread, after it has counted
    /// everything.
    func end() { ended.store(true, ordering: .releasing) }

    /// Returns a copy of the counters.
    func activity() -> ActivityStatistics { ActivityStatistics(copying: words) }

    /// Returns the connection's statistics.
    func statistics(at now: MonotonicTime) -> ConnectionStatistics {
        ConnectionStatistics(
            number: number, client: client, export: export, isEncrypted: isEncrypted,
            openNanoseconds: now.nanoseconds &- openedAt.nanoseconds, activity: activity())
    }
}
