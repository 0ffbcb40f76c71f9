internal import NBDProtocol
package import ProgramSupport
package import Observability

/// The query of `GET /trace`.
package struct TraceFilter: Sendable, Equatable {
    /// Empty for all.
    package var commands: [CommandName] = []
    package var minimumNanoseconds: UInt64 = 0
    /// Nil for all; empty for the disk without a name.
    package var export: String?
    package var connection: UInt64?
    package var offsets: ByteRange?
    /// How many, before the stream ends.
    package var count: UInt64?

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

    /// What to ask for: `/trace?command=write,trim&count=10`.
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
    /// What this filter waits for and a server does not have, in a clause; nil when there can be requests.
    package func problem(with stats: Stats) -> String? {
        if let export, !stats.disks.contains(where: { $0.export == export }) {
            let names = stats.disks.map { "\"\($0.export)\"" }.joined(separator: ", ")
            return "there is no disk \"\(export)\" (--export): the server has \(names)"
        }
        if let connection, !stats.connections.contains(where: { $0.number == connection }) {
            let numbers = stats.connections.map { "\($0.number)" }.joined(separator: ", ")
            return "there is no connection \(connection) (--connection): "
                + (numbers.isEmpty ? "nobody is connected" : "there are \(numbers)")
        }
        return nil
    }
}
