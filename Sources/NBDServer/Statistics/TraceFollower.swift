internal import LinuxIO
public import NBDProtocol

/// A request that was served, as a trace records it.
public struct TraceRecord: Sendable {
    /// The connection's id.
    public let connection: UInt64
    /// The name of the connection's export.
    public let export: String
    /// The request's command.
    public let command: Command
    /// The request's flags.
    public let flags: CommandFlags
    /// The request's first byte.
    public let offset: UInt64
    /// The request's length in bytes.
    public let length: UInt64
    /// When the receive that brought the request returned: nanoseconds on the monotonic clock.
    public let receivedNanoseconds: UInt64
    /// Nanoseconds from then to the end of the send that took the reply.
    package let durationNanoseconds: UInt64
    /// Time from the receive that brought the request to the end of the send that took the reply.
    public var duration: Duration { .nanoseconds(Int64(clamping: durationNanoseconds)) }
    /// The reply's error; `none` if the request succeeded.
    public let error: WireError
}

extension TraceRecord: CustomStringConvertible {
    /// The request and its result in one line.
    public var description: String {
        let flags = flags.isEmpty ? "" : ", flags 0x\(String(flags.rawValue, radix: 16))"
        let error = error == .none ? "" : ", error \(error)"
        return
            "connection \(connection), export \"\(export)\": \(command), \(length) bytes at \(offset)"
            + "\(flags), \(durationNanoseconds / 1_000) µs\(error)"
    }
}

/// A reader of the traces of all connections of a server.
///
/// Connections write traces as long as there is at least one follower. Requests that it does not
/// read in time are overwritten and counted, so a slow follower does not slow clients down.
public struct TraceFollower: ~Copyable, Sendable {
    /// A connection, and the number of the event to read next.
    private struct Position {
        let counters: ConnectionCounters
        var next: UInt64
        var hasEnded = false
    }

    private let registry: StatisticsRegistry
    private let id: Int
    private var positions: [UInt64: Position] = [:]
    /// Number of requests that were overwritten before they were read.
    public private(set) var droppedRequests: UInt64 = 0
    /// Number of connections whose counters the follower keeps in memory.
    var connectionCount: Int { positions.count }
    /// When the follower was made, on the clock of ``TraceRecord/receivedNanoseconds``.
    public let startNanoseconds = MonotonicTime.now().nanoseconds

    /// Nil if there are too many followers, or the server does not count requests.
    init?(_ registry: StatisticsRegistry) {
        guard let (id, open) = registry.addReader() else { return nil }
        self.registry = registry
        self.id = id
        for counters in open {
            positions[counters.number] = Position(counters: counters, next: counters.ring.end)
        }
    }

    deinit { registry.removeReader(id) }

    /// Returns the requests since the last call, at most `limit` of them. Those of one connection
    /// are in order.
    public mutating func read(atMost limit: Int) -> [TraceRecord] {
        let (open, ended, lostRequests) = registry.connections(for: id)
        for counters in open { follow(counters, hasEnded: false) }
        for counters in ended { follow(counters, hasEnded: true) }
        droppedRequests += lostRequests - endAbsent(Set((open + ended).map(\.number)))
        var records: [TraceRecord] = []
        for number in positions.keys.shuffled() where records.count < limit {
            read(number, into: &records, upTo: limit)
        }
        return records
    }

    /// Follows a connection. A new one is read from its first event.
    private mutating func follow(_ counters: ConnectionCounters, hasEnded: Bool) {
        positions[counters.number, default: Position(counters: counters, next: 0)].hasEnded =
            hasEnded
    }

    /// Marks the connections that are in neither list as ended, and returns the number of their
    /// requests.
    ///
    /// The registry has not kept them because too many had ended, and has counted their requests as
    /// lost. This follower still has their counters, so they are not lost.
    private mutating func endAbsent(_ present: Set<UInt64>) -> UInt64 {
        var requests: UInt64 = 0
        for (number, position) in positions
        where !position.hasEnded && !present.contains(number) {
            positions[number]?.hasEnded = true
            requests += position.counters.ring.end
        }
        return requests
    }

    private mutating func read(
        _ number: UInt64, into records: inout [TraceRecord], upTo limit: Int
    ) {
        guard var position = positions[number] else { return }
        let counters = position.counters
        let end = counters.ring.end
        let oldest = max(position.next, TraceRing.oldest(before: end))
        droppedRequests += oldest - position.next
        position.next = oldest
        while position.next < end, records.count < limit {
            if let event = counters.ring.event(position.next) {
                records.append(TraceRecord(event, of: counters))
            } else {
                droppedRequests += 1
            }
            position.next += 1
        }
        let isFinished = position.hasEnded && position.next == end
        positions[number] = isFinished ? nil : position
    }
}

extension TraceRecord {
    fileprivate init(_ event: TraceRing.Event, of counters: ConnectionCounters) {
        connection = counters.number
        export = counters.export ?? ""
        command = event.command
        flags = event.flags
        offset = event.offset
        length = event.length
        receivedNanoseconds = event.receivedAt
        durationNanoseconds = event.nanoseconds
        error = event.error
    }
}
