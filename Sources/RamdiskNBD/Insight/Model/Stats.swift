/// Everything at one moment. Figures of different connections are not taken at exactly the same
/// nanosecond; each by itself is never torn.
struct Stats: Codable, Sendable, Equatable {
    var server: ServerStats
    /// In the order of the command line.
    var disks: [DiskStats]
    /// Those that are open, oldest first.
    var connections: [ConnectionStats]
}

/// The server as a whole.
struct ServerStats: Codable, Sendable, Equatable {
    /// The program's version.
    var version: String
    /// The process's number.
    var pid: Int32
    /// Since it began to serve.
    var uptimeSeconds: Double
    /// When these figures were taken, on a clock that only goes forward: for rates between two.
    var monotonicNanoseconds: UInt64
    /// Whether requests are counted: false with `--no-stats`, when every activity is empty.
    var isCounting: Bool
    /// Where it listens, as NBD URIs.
    var addresses: [String]
    /// Memory of the whole process, disks included, that is in RAM now (VmRSS).
    var residentBytes: UInt64
    /// Connections that are open now.
    var openConnections: Int
    /// Connections there may be.
    var maximumConnections: Int
    /// Connections taken in since the start.
    var acceptedConnections: UInt64
    /// Clients turned away because there were too many.
    var refusedConnections: UInt64
    /// Connections that ended because the client broke the protocol.
    var violations: UInt64
    /// Readers of `/trace` there are now.
    var traceReaders: Int
    /// Of all connections since the start, those that have ended too.
    var activity: Activity
}

/// One disk.
struct DiskStats: Codable, Sendable, Equatable {
    /// The name that clients ask for; empty for the default disk.
    var export: String
    /// What clients see.
    var sizeBytes: UInt64
    /// Memory it takes up now.
    var residentBytes: UInt64
    /// Whether memory is taken as it is written.
    var isSparse: Bool
    /// Whether clients may only read.
    var isReadOnly: Bool
    /// Whether its memory is locked, so that it is never swapped out.
    var isLocked: Bool
    /// Connections that use it now.
    var openConnections: Int
    /// Of all its connections since the start, those that have ended too.
    var activity: Activity
}

/// One open connection.
struct ConnectionStats: Codable, Sendable, Equatable {
    /// Connections are numbered from 1; the log has the same numbers.
    var number: UInt64
    /// Who it is: `127.0.0.1:43210`, or `user 0 (process 4711)` on a Unix socket.
    var client: String
    /// The disk it uses; nil while it has not chosen one.
    var export: String?
    /// Whether it is encrypted.
    var isTLS: Bool
    /// Since it was taken in.
    var openSeconds: Double
    /// Buffers, counters and stack that it keeps mapped; not all of it is in use.
    var mappedBytes: UInt64
    var activity: Activity
}
