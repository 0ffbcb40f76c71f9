// Figures in a line, for programs that print them.

internal import NBDProtocol

extension ActivityStatistics: CustomStringConvertible {
    /// Requests, errors and bytes; not every counter.
    public var description: String {
        let errors = CountedCommand.allCases.reduce(0) { $0 + self.errors(of: $1) }
        return "\(requests) requests, \(errors) errors, \(bytes(of: .read)) bytes read, "
            + "\(bytes(of: .write)) bytes written"
    }
}

extension ConnectionStatistics: CustomStringConvertible {
    /// Which connection it is, and what it did.
    public var description: String {
        let place = export.map { "export \($0)" } ?? "no export"
        return "connection \(number) of \(client), \(place)\(isEncrypted ? ", encrypted" : ""), "
            + "\(openNanoseconds / 1_000_000) ms: \(activity)"
    }
}

extension ExportStatistics: CustomStringConvertible {
    /// Connections, and what they did.
    public var description: String { "\(openConnections) open connections: \(activity)" }
}

extension ServerStatistics: CustomStringConvertible {
    /// Connections, and what they did.
    public var description: String {
        "\(connections.count) open connections of \(accepted) accepted, \(refused) refused, "
            + "\(violations) violations: \(activity)"
    }
}

extension TraceRecord: CustomStringConvertible {
    /// The request and its answer.
    public var description: String {
        let flags = flags.isEmpty ? "" : ", flags 0x\(String(flags.rawValue, radix: 16))"
        let error = error == .none ? "" : ", error \(error)"
        return
            "connection \(connection), export \(export): \(command), \(length) bytes at \(offset)"
            + "\(flags), \(durationNanoseconds / 1_000) µs\(error)"
    }
}
