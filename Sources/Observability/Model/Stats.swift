/// A copy of all statistics. The counters of different connections are not read at exactly the
/// same nanosecond; no single counter is torn.
package struct Stats: Codable, Sendable, Equatable {
    package var server: ServerStats
    /// The disks, in the order of the command line.
    package var disks: [DiskStats]
    /// The open connections, oldest first.
    package var connections: [ConnectionStats]
    /// The disks that have images, and their saves.
    package var saves: [SaveStats]
    /// The snapshots, oldest first.
    package var snapshots: [SnapshotStatus]

    package init(
        server: ServerStats, disks: [DiskStats], connections: [ConnectionStats],
        saves: [SaveStats] = [], snapshots: [SnapshotStatus] = []
    ) {
        self.server = server
        self.disks = disks
        self.connections = connections
        self.saves = saves
        self.snapshots = snapshots
    }
}

/// Statistics of the server as a whole.
package struct ServerStats: Codable, Sendable, Equatable {
    /// The program's version.
    package var version: String
    /// The pid of the server.
    package var pid: Int32
    /// The confinement of the server's process, such as `seccomp,landlock:7`; `off` for none. Nil from an older server.
    package var sandbox: String?
    /// Time since the server started to serve.
    package var uptimeSeconds: Double
    /// The time of this copy on `CLOCK_MONOTONIC`, to compute rates between two copies.
    package var monotonicNanoseconds: UInt64
    /// Whether the server counts requests. False with `--no-stats`; every activity is then empty.
    package var isCounting: Bool
    /// The addresses the server listens on, as NBD URIs.
    package var addresses: [String]
    /// Resident memory of the whole process, including its disks (VmRSS).
    package var residentBytes: UInt64
    /// Open connections.
    package var openConnections: Int
    /// Maximum number of open connections.
    package var maximumConnections: Int
    /// Connections accepted since the start.
    package var acceptedConnections: UInt64
    /// Clients rejected before they were served: not admitted, or over a limit.
    package var refusedConnections: UInt64
    /// Connections that the server closed because the client violated the protocol.
    package var violations: UInt64
    /// Clients that are reading `/trace`.
    package var traceReaders: Int
    /// Activity of all connections since the start, including those that have ended.
    package var activity: Activity
}

/// Statistics of one disk.
package struct DiskStats: Codable, Sendable, Equatable {
    /// The name of the export; empty for the default disk.
    package var export: String
    /// The size of the disk.
    package var sizeBytes: UInt64
    /// Resident memory of the disk.
    package var residentBytes: UInt64
    /// Whether memory is allocated when a client first writes to it.
    package var isSparse: Bool
    /// Whether clients may only read.
    package var isReadOnly: Bool
    /// Whether its memory is locked and so never swapped out (`mlock(2)`).
    package var isLocked: Bool
    /// Open connections that use it.
    package var openConnections: Int
    /// Activity of all its connections since the start, including those that have ended.
    package var activity: Activity
}

/// Statistics of one open connection.
package struct ConnectionStats: Codable, Sendable, Equatable {
    /// The connection's id, counted from 1. The log uses the same ids.
    package var number: UInt64
    /// The client: `127.0.0.1:43210`, or `user 0 (process 4711)` on a Unix socket.
    package var client: String
    /// The export it uses; nil until the client has chosen one.
    package var export: String?
    /// Whether it uses TLS.
    package var isTLS: Bool
    /// Time since the server accepted it.
    package var openSeconds: Double
    /// Mapped memory of its buffers, counters and stack, of which only a part may be resident.
    package var mappedBytes: UInt64
    package var activity: Activity
}
