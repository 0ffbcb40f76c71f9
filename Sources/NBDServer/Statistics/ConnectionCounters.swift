internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// The figures and the trace of one connection. Its memory is taken when the connection opens, has a
/// fixed size, and lives as long as anybody holds this; the connection's thread writes it, by way of
/// ``meter``.
final class ConnectionCounters: Sendable {
    let number: UInt64
    /// Who it is, in words.
    let client: String
    let openedAt = MonotonicTime.now()
    /// What its thread counts with.
    let meter: Meter
    let ring: TraceRing
    private let memory: MemoryMapping
    private let words: AtomicWords
    /// Index of the export that it has chosen, or a negative number.
    private let chosenExport = Atomic<Int>(-1)
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

    /// The index of its export among the server's; nil while it has none.
    var export: Int? {
        let index = chosenExport.load(ordering: .relaxed)
        return index < 0 ? nil : index
    }

    /// It has chosen an export.
    func choose(export index: Int) { chosenExport.store(index, ordering: .relaxed) }

    /// Whether it is encrypted.
    var isEncrypted: Bool { encrypted.load(ordering: .relaxed) }

    /// It is encrypted from now on.
    func encrypt() { encrypted.store(true, ordering: .relaxed) }

    /// Whether it is over, though it may not have been cleaned up after yet.
    var hasEnded: Bool { ended.load(ordering: .acquiring) }

    /// It is over.
    func end() { ended.store(true, ordering: .releasing) }

    /// What it has counted so far.
    func activity() -> ActivityStatistics { ActivityStatistics(copying: words) }

    /// All that is known of it.
    func figures(at now: MonotonicTime) -> ConnectionStatistics {
        ConnectionStatistics(
            number: number, client: client, export: export, isEncrypted: isEncrypted,
            openNanoseconds: now.nanoseconds &- openedAt.nanoseconds, activity: activity())
    }
}
