internal import LinuxIO
public import NBDProtocol

/// A request that was answered, as a trace tells it.
public struct TraceRecord: Sendable {
    /// The connection's number.
    public let connection: UInt64
    /// The index of its export among the server's.
    public let export: Int
    /// What was asked.
    public let command: Command
    /// How it was to be done.
    public let flags: CommandFlags
    /// First byte.
    public let offset: UInt64
    /// Bytes.
    public let length: UInt64
    /// When it was received, on a clock that only goes forward.
    public let receivedNanoseconds: UInt64
    /// From then to the end of the send that took its reply.
    public let durationNanoseconds: UInt64
    /// What was answered.
    public let error: WireError
}

/// Follows the requests of every connection. As long as there is one, connections write traces; what
/// it does not read in time is overwritten and counted, so it costs clients the writing and no more.
public struct TraceFollower: ~Copyable, Sendable {
    /// A connection, and the event that is read next.
    private struct Position {
        let insight: ConnectionCounters
        var next: UInt64
        var hasEnded = false
    }

    private let registry: StatisticsRegistry
    private let id: Int
    private var positions: [UInt64: Position] = [:]
    /// Requests that were overwritten before they were read.
    public private(set) var droppedRequests: UInt64 = 0
    /// Connections that it holds on to.
    var connectionCount: Int { positions.count }
    /// When it began, on the clock of ``TraceRecord/receivedNanoseconds``.
    public let startNanoseconds = MonotonicTime.now().nanoseconds

    /// Nil when there are too many readers, or the server counts nothing.
    init?(_ registry: StatisticsRegistry) {
        guard let (id, open) = registry.addReader() else { return nil }
        self.registry = registry
        self.id = id
        for insight in open {
            positions[insight.number] = Position(insight: insight, next: insight.ring.end)
        }
    }

    deinit { registry.removeReader(id) }

    /// What has come since the last time, but not much more than `limit` requests: those of one
    /// connection in order.
    public mutating func read(atMost limit: Int) -> [TraceRecord] {
        let (open, ended, lostRequests) = registry.connections(for: id)
        for insight in open { follow(insight, hasEnded: false) }
        for insight in ended { follow(insight, hasEnded: true) }
        droppedRequests += lostRequests - endAbsent(Set((open + ended).map(\.number)))
        var records: [TraceRecord] = []
        for number in positions.keys.shuffled() where records.count < limit {
            read(number, atMost: limit - records.count, into: &records)
        }
        return records
    }

    /// One that was not there before is read from its beginning.
    private mutating func follow(_ insight: ConnectionCounters, hasEnded: Bool) {
        positions[insight.number, default: Position(insight: insight, next: 0)].hasEnded = hasEnded
    }

    /// Connections that are not there any more have ended when too many did. Here they are known, so
    /// what they had is not lost. Answers how many requests that were.
    private mutating func endAbsent(_ there: Set<UInt64>) -> UInt64 {
        var requests: UInt64 = 0
        for (number, position) in positions
        where !position.hasEnded && !there.contains(number) {
            positions[number]?.hasEnded = true
            requests += position.insight.ring.end
        }
        return requests
    }

    private mutating func read(
        _ number: UInt64, atMost limit: Int, into records: inout [TraceRecord]
    ) {
        guard var position = positions[number] else { return }
        let insight = position.insight
        let end = insight.ring.end
        let oldest = max(position.next, TraceRing.oldest(before: end))
        droppedRequests += oldest - position.next
        position.next = oldest
        while position.next < end, records.count < limit {
            if let event = insight.ring.event(position.next) {
                records.append(TraceRecord(event, of: insight))
            } else {
                droppedRequests += 1
            }
            position.next += 1
        }
        let isOver = position.hasEnded && position.next == end
        positions[number] = isOver ? nil : position
    }
}

extension TraceRecord {
    fileprivate init(_ event: TraceRing.Event, of insight: ConnectionCounters) {
        connection = insight.number
        export = insight.export ?? 0
        command = event.command
        flags = event.flags
        offset = event.offset
        length = event.length
        receivedNanoseconds = event.receivedAt
        durationNanoseconds = event.nanoseconds
        error = event.error
    }
}
