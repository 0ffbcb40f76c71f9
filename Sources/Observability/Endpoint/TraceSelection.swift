package import NBDServer
internal import ProgramSupport

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
            offsets = ByteRange(parsing: value).map { $0.first...($0.last ?? .max) }
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

    /// Parses a duration; a number without a unit is one of nanoseconds.
    private static func nanoseconds(_ text: String) -> UInt64? {
        UInt64(text) ?? (try? Duration(parsing: text)).map { UInt64($0 / .nanoseconds(1)) }
    }
}
