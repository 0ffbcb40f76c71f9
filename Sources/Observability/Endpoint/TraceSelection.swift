package import NBDServer

/// The server's side of a trace filter: which requests a trace includes. A nil member includes all.
package struct TraceSelection: Sendable, Equatable {
    var commands: Set<CommandName>?
    var minimumNanoseconds: UInt64 = 0
    var export: String?
    var connection: UInt64?
    var offsets: ClosedRange<UInt64>?
    /// Number of requests after which the stream ends.
    var count: UInt64?

    /// A query that is not valid, with the reason in one line.
    package struct QueryError: Error, Equatable {
        let sentence: String
    }

    /// A selection that includes every request.
    package init() {}

    /// Parses a query, given as pairs of names and values.
    package init(query: [(name: String, value: String)]) throws(QueryError) {
        for (name, value) in query {
            guard try apply(name, value) else {
                throw QueryError(sentence: "\(name)=\(value) is not a valid filter")
            }
        }
    }

    /// Applies one parameter. Returns false when the value is not valid for that name.
    private mutating func apply(_ name: String, _ value: String) throws(QueryError) -> Bool {
        switch name {
        case "command":
            let names = value.split(separator: ",").map { CommandName(rawValue: String($0)) }
            commands = Set(names.compactMap { $0 })
            return !names.isEmpty && !names.contains(nil)
        case "min_latency":
            guard let nanoseconds = Self.nanoseconds(value) else { return false }
            minimumNanoseconds = nanoseconds
            return true
        case "export":
            export = value
            return true
        case "connection":
            connection = UInt64(value)
            return connection != nil
        case "offset":
            offsets = Self.range(value)
            return offsets != nil
        case "count":
            count = UInt64(value)
            return (count ?? 0) > 0
        default:
            throw QueryError(sentence: "there is no filter named \(name)")
        }
    }

    /// Returns whether the trace includes a request.
    package func passes(_ record: TraceRecord) -> Bool {
        if record.durationNanoseconds < minimumNanoseconds { return false }
        if let commands, !commands.contains(CommandName(record.command)) { return false }
        if let wanted = self.export, wanted != record.export { return false }
        if let connection, connection != record.connection { return false }
        guard let offsets else { return true }
        // A request of length 0 counts as touching the byte at its offset.
        let last = record.offset.addingReportingOverflow(max(record.length, 1) - 1)
        return record.offset <= offsets.upperBound
            && (last.overflow || last.partialValue >= offsets.lowerBound)
    }

    /// Parses a duration in nanoseconds: `100us`, `5ms`, `1s`, `2000ns`, `2000`.
    private static func nanoseconds(_ text: String) -> UInt64? {
        let units: [(String, UInt64)] = [
            ("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ]
        let (suffix, factor) = units.first { text.hasSuffix($0.0) } ?? ("", 1)
        guard let number = UInt64(text.dropLast(suffix.count)) else { return nil }
        let product = number.multipliedReportingOverflow(by: factor)
        return product.overflow ? nil : product.partialValue
    }

    /// Parses a range of bytes: `FIRST-LAST` or `FIRST-`.
    private static func range(_ text: String) -> ClosedRange<UInt64>? {
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard ends.count == 2, let first = UInt64(ends[0]) else { return nil }
        guard let last = ends[1].isEmpty ? UInt64.max : UInt64(ends[1]), first <= last else {
            return nil
        }
        return first...last
    }
}
