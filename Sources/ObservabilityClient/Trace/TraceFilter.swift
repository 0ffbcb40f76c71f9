internal import NBDProtocol
package import ProgramSupport
package import Observability

/// The client's side of a trace filter: the query of `GET /trace`.
package struct TraceFilter: Sendable, Equatable {
    /// The commands to include; empty for all.
    var commands: [CommandName] = []
    /// Requests that took less time are not included.
    var minimumNanoseconds: UInt64 = 0
    /// The name of an export; nil for all, empty for the disk without a name.
    var export: String?
    /// The id of a connection; nil for all.
    var connection: UInt64?
    /// Includes requests that touch these bytes; nil for all.
    var offsets: ByteRange?
    /// Number of requests after which the stream ends; nil for no limit.
    var count: UInt64?

    package init(
        commands: [CommandName] = [], minimumNanoseconds: UInt64 = 0, export: String? = nil,
        connection: UInt64? = nil, offsets: ByteRange? = nil, count: UInt64? = nil
    ) {
        self.commands = commands
        self.minimumNanoseconds = minimumNanoseconds
        self.export = export
        self.connection = connection
        self.offsets = offsets
        self.count = count
    }

    /// The request target: `/trace?command=write,trim&count=10`.
    package var target: String {
        var query: [String] = []
        if !commands.isEmpty {
            query.append("command=" + commands.map(\.rawValue).joined(separator: ","))
        }
        if minimumNanoseconds > 0 { query.append("min_latency=\(minimumNanoseconds)ns") }
        if let export { query.append("export=" + PercentEncoding.encode(export)) }
        if let connection { query.append("connection=\(connection)") }
        if let offsets {
            query.append("offset=\(offsets.first)-" + (offsets.last.map(String.init) ?? ""))
        }
        if let count { query.append("count=\(count)") }
        return "/trace" + (query.isEmpty ? "" : "?" + query.joined(separator: "&"))
    }
}

extension TraceFilter {
    /// Returns, as a clause, which export or connection of this filter a server does not have; nil
    /// when it has them.
    package func problem(with stats: Stats) -> String? {
        if let export, !stats.disks.contains(where: { $0.export == export }) {
            let names = stats.disks.map { "\"\($0.export)\"" }.joined(separator: ", ")
            return "there is no disk \"\(export)\" for --export: the server has \(names)"
        }
        if let connection, !stats.connections.contains(where: { $0.number == connection }) {
            let numbers = stats.connections.map { "\($0.number)" }.joined(separator: ", ")
            return "there is no connection \(connection) for --connection: "
                + (numbers.isEmpty ? "no client is connected" : "the server has \(numbers)")
        }
        return nil
    }
}
