internal import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import NBDProtocol
package import NBDServer

/// The server that a control socket reports on.
package struct MonitoredServer: Sendable {
    package let server: Server
    /// The server's exports, in its order.
    package let exports: [Export]
    /// The addresses the server listens on, as NBD URIs.
    package let addresses: [String]
    package let maximumConnections: Int

    package init(server: Server, exports: [Export], addresses: [String], maximumConnections: Int) {
        self.server = server
        self.exports = exports
        self.addresses = addresses
        self.maximumConnections = maximumConnections
    }

    /// Returns a snapshot of all statistics.
    package func stats() -> Stats {
        let snapshot = server.figures()
        return Stats(
            server: serverStats(snapshot),
            disks: zip(exports, snapshot.exports).map { DiskStats($0, $1) },
            connections: snapshot.connections.map { connection in
                ConnectionStats(connection, export: connection.export.map { exports[$0].name })
            })
    }

    private func serverStats(_ snapshot: ServerStatistics) -> ServerStats {
        ServerStats(
            version: Version.current, pid: getpid(),
            uptimeSeconds: Double(snapshot.uptimeNanoseconds) / 1e9,
            monotonicNanoseconds: snapshot.monotonicNanoseconds, isCounting: snapshot.isCounting,
            addresses: addresses, residentBytes: ResidentMemory.bytes,
            openConnections: snapshot.connections.count, maximumConnections: maximumConnections,
            acceptedConnections: snapshot.accepted, refusedConnections: snapshot.rejected,
            violations: snapshot.violations, traceReaders: snapshot.traceReaders,
            activity: Activity(snapshot.activity))
    }
}

extension DiskStats {
    package init(_ export: Export, _ statistics: ExportStatistics) {
        self.init(
            export: export.name, sizeBytes: export.disk.size,
            residentBytes: export.disk.residentBytes, isSparse: export.disk.isSparse,
            isReadOnly: export.isReadOnly,
            isLocked: !export.disk.isSparse && export.disk.lockFailure == nil,
            openConnections: statistics.openConnections, activity: Activity(statistics.activity))
    }
}

extension ConnectionStats {
    package init(_ statistics: ConnectionStatistics, export: String?) {
        self.init(
            number: statistics.number, client: statistics.client, export: export,
            isTLS: statistics.isEncrypted, openSeconds: Double(statistics.openNanoseconds) / 1e9,
            mappedBytes: UInt64(ConnectionStatistics.mappedBytes),
            activity: Activity(statistics.activity))
    }
}

extension Activity {
    package init(_ statistics: ActivityStatistics) {
        commands = ActivityStatistics.commands.filter { statistics.requests(of: $0) > 0 }.map {
            command in
            CommandActivity(
                command: CommandName(command), requests: statistics.requests(of: command),
                bytes: statistics.bytes(of: command), errors: statistics.errors(of: command),
                latency: LatencyHistogram(
                    counts: statistics.latencies(of: command),
                    sumNanoseconds: statistics.nanoseconds(of: command)))
        }
        errors = statistics.errorCounts.map { ErrorCount(error: $0.name, requests: $0.requests) }
        batches = Batches(
            count: statistics.batches, requests: statistics.batchedRequests,
            bySize: statistics.batchesBySize)
        polling = Polling(hits: statistics.pollHits, sleeps: statistics.pollSleeps)
    }
}
