/// Everything at one moment. Figures of different connections are not taken at exactly the same
/// nanosecond; each by itself is never torn.
package struct Stats: Codable, Sendable, Equatable {
    package var server: ServerStats
    /// In the order of the command line.
    package var disks: [DiskStats]
    /// Those that are open, oldest first.
    package var connections: [ConnectionStats]
}

/// The server as a whole.
package struct ServerStats: Codable, Sendable, Equatable {
    /// The program's version.
    package var version: String
    /// The process's number.
    package var pid: Int32
    /// Since it began to serve.
    package var uptimeSeconds: Double
    /// When these figures were taken, on a clock that only goes forward: for rates between two.
    package var monotonicNanoseconds: UInt64
    /// Whether requests are counted: false with `--no-stats`, when every activity is empty.
    package var isCounting: Bool
    /// Where it listens, as NBD URIs.
    package var addresses: [String]
    /// Memory of the whole process, disks included, that is in RAM now (VmRSS).
    package var residentBytes: UInt64
    /// Connections that are open now.
    package var openConnections: Int
    /// Connections there may be.
    package var maximumConnections: Int
    /// Connections taken in since the start.
    package var acceptedConnections: UInt64
    /// Clients turned away because there were too many.
    package var refusedConnections: UInt64
    /// Connections that ended because the client broke the protocol.
    package var violations: UInt64
    /// Readers of `/trace` there are now.
    package var traceReaders: Int
    /// Of all connections since the start, those that have ended too.
    package var activity: Activity
}

/// One disk.
package struct DiskStats: Codable, Sendable, Equatable {
    /// The name that clients ask for; empty for the default disk.
    package var export: String
    /// What clients see.
    package var sizeBytes: UInt64
    /// Memory it takes up now.
    package var residentBytes: UInt64
    /// Whether memory is taken as it is written.
    package var isSparse: Bool
    /// Whether clients may only read.
    package var isReadOnly: Bool
    /// Whether its memory is locked, so that it is never swapped out.
    package var isLocked: Bool
    /// Connections that use it now.
    package var openConnections: Int
    /// Of all its connections since the start, those that have ended too.
    package var activity: Activity
}

/// One open connection.
package struct ConnectionStats: Codable, Sendable, Equatable {
    /// Connections are numbered from 1; the log has the same numbers.
    package var number: UInt64
    /// Who it is: `127.0.0.1:43210`, or `user 0 (process 4711)` on a Unix socket.
    package var client: String
    /// The disk it uses; nil while it has not chosen one.
    package var export: String?
    /// Whether it is encrypted.
    package var isTLS: Bool
    /// Since it was taken in.
    package var openSeconds: Double
    /// Buffers, counters and stack that it keeps mapped; not all of it is in use.
    package var mappedBytes: UInt64
    package var activity: Activity
}
