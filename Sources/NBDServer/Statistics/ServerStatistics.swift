internal import NBDProtocol

/// Statistics of a server and its connections at one moment.
public struct ServerStatistics: Sendable {
    /// Nanoseconds since the server was started.
    package internal(set) var uptimeNanoseconds: UInt64 = 0
    /// Time since the server was started.
    public var uptime: Duration { .nanoseconds(Int64(clamping: uptimeNanoseconds)) }
    /// When this copy was made: nanoseconds on the monotonic clock.
    public internal(set) var monotonicNanoseconds: UInt64 = 0
    /// Whether the server counts requests.
    public internal(set) var isCounting = false
    /// Number of connections that were accepted.
    public internal(set) var accepted: UInt64 = 0
    /// The number of clients that were rejected: not admitted, or over a limit.
    public internal(set) var rejected: UInt64 = 0
    /// Number of connections that ended because the client violated the protocol.
    public internal(set) var violations: UInt64 = 0
    /// Number of traces that are being read.
    public internal(set) var traceReaders = 0
    /// The open connections, oldest first.
    public internal(set) var connections: [ConnectionStatistics] = []
    /// An element for each of the server's exports, in the same order.
    public internal(set) var exports: [ExportStatistics] = []
    /// The sums over all connections, including those that have ended.
    public internal(set) var activity = ActivityStatistics()
}

/// Statistics of all connections of an export, including those that have ended.
public struct ExportStatistics: Sendable {
    /// The name of the export.
    public let name: String
    /// Number of connections that use the export now.
    public internal(set) var openConnections = 0
    /// The sums over the export's connections.
    public internal(set) var activity = ActivityStatistics()
}

/// Statistics of one open connection.
public struct ConnectionStatistics: Sendable {
    /// The connection's id, counted from 1.
    public let number: UInt64
    /// The client in words: `127.0.0.1:43210`, `user 0 (process 4711)`.
    public let client: String
    /// The name of its export; nil until the client has chosen one.
    public let export: String?
    /// Whether the connection is encrypted.
    public let isEncrypted: Bool
    /// Nanoseconds since the connection was opened.
    package let openNanoseconds: UInt64
    /// Time since the connection was opened.
    public var openTime: Duration { .nanoseconds(Int64(clamping: openNanoseconds)) }
    /// The connection's counters.
    public let activity: ActivityStatistics
}

extension ServerStatistics: CustomStringConvertible {
    /// The connections and the requests in one line.
    public var description: String {
        "\(connections.count) open connections of \(accepted) accepted, \(rejected) rejected, "
            + "\(violations) violations: \(activity)"
    }
}

extension ExportStatistics: CustomStringConvertible {
    /// The connections and the requests in one line.
    public var description: String { "\(openConnections) open connections: \(activity)" }
}

extension ConnectionStatistics: CustomStringConvertible {
    /// The connection and its requests in one line.
    public var description: String {
        let exportText = export.map { "export \"\($0)\"" } ?? "no export"
        return "connection \(number) of \(client), \(exportText)"
            + "\(isEncrypted ? ", encrypted" : ""), \(openNanoseconds / 1_000_000) ms: \(activity)"
    }
}
