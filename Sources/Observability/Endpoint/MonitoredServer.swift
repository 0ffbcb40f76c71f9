internal import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import NBDProtocol
package import NBDServer

/// Whom the control socket answers for.
package struct MonitoredServer: Sendable {
    package let server: Server
    /// In the order that the server has them.
    package let exports: [Export]
    package let addresses: [String]
    package let maximumConnections: Int

    package init(server: Server, exports: [Export], addresses: [String], maximumConnections: Int) {
        self.server = server
        self.exports = exports
        self.addresses = addresses
        self.maximumConnections = maximumConnections
    }

    /// Everything at this moment.
    package func stats() -> Stats {
        let figures = server.figures()
        return Stats(
            server: serverStats(figures),
            disks: zip(exports, figures.exports).map { DiskStats($0, $1) },
            connections: figures.connections.map { connection in
                ConnectionStats(connection, export: connection.export.map { exports[$0].name })
            })
    }

    private func serverStats(_ figures: ServerStatistics) -> ServerStats {
        ServerStats(
            version: Version.current, pid: getpid(),
            uptimeSeconds: Double(figures.uptimeNanoseconds) / 1e9,
            monotonicNanoseconds: figures.monotonicNanoseconds, isCounting: figures.isCounting,
            addresses: addresses, residentBytes: ResidentMemory.bytes,
            openConnections: figures.connections.count, maximumConnections: maximumConnections,
            acceptedConnections: figures.accepted, refusedConnections: figures.rejected,
            violations: figures.violations, traceReaders: figures.traceReaders,
            activity: Activity(figures.activity))
    }
}

extension DiskStats {
    package init(_ export: Export, _ figures: ExportStatistics) {
        self.init(
            export: export.name, sizeBytes: export.disk.size,
            residentBytes: export.disk.residentBytes, isSparse: export.disk.isSparse,
            isReadOnly: export.isReadOnly,
            isLocked: !export.disk.isSparse && export.disk.lockFailure == nil,
            openConnections: figures.openConnections, activity: Activity(figures.activity))
    }
}

extension ConnectionStats {
    package init(_ figures: ConnectionStatistics, export: String?) {
        self.init(
            number: figures.number, client: figures.client, export: export,
            isTLS: figures.isEncrypted, openSeconds: Double(figures.openNanoseconds) / 1e9,
            mappedBytes: UInt64(ConnectionStatistics.mappedBytes),
            activity: Activity(figures.activity))
    }
}

extension Activity {
    package init(_ figures: ActivityStatistics) {
        commands = ActivityStatistics.commands.filter { figures.requests(of: $0) > 0 }.map {
            command in
            CommandActivity(
                command: CommandName(command), requests: figures.requests(of: command),
                bytes: figures.bytes(of: command), errors: figures.errors(of: command),
                latency: LatencyHistogram(
                    counts: figures.latencies(of: command),
                    sumNanoseconds: figures.nanoseconds(of: command)))
        }
        errors = figures.errorCounts.map { ErrorCount(error: $0.name, requests: $0.requests) }
        batches = Batches(
            count: figures.batches, requests: figures.batchedRequests,
            bySize: figures.batchesBySize)
        polling = Polling(hits: figures.pollHits, sleeps: figures.pollSleeps)
    }
}
