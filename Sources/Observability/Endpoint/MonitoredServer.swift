internal import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import NBDProtocol
package import NBDServer

/// The server that a control socket reports on.
package struct MonitoredServer: Sendable {
    package let server: Server
    /// The confinement of the server's process, such as `seccomp,landlock:7`; `off` for none.
    package let sandbox: String
    /// The addresses the server listens on, as NBD URIs.
    package let addresses: [String]
    package let maximumConnections: Int
    /// Returns what is known of the saves of disks.
    package let saves: @Sendable () -> [SaveStats]
    /// Returns the snapshots of disks.
    package let snapshots: @Sendable () -> [SnapshotStatus]
    /// The handler of commands; nil when there are none.
    package let commands: (any ControlCommands)?

    package init(
        server: Server, sandbox: String, addresses: [String], maximumConnections: Int,
        saves: @escaping @Sendable () -> [SaveStats] = { [] },
        snapshots: @escaping @Sendable () -> [SnapshotStatus] = { [] },
        commands: (any ControlCommands)? = nil
    ) {
        self.saves = saves
        self.snapshots = snapshots
        self.commands = commands
        self.server = server
        self.sandbox = sandbox
        self.addresses = addresses
        self.maximumConnections = maximumConnections
    }

    /// Returns a copy of all statistics.
    package func stats() -> Stats {
        let exports = server.exports
        let statistics = server.statistics()
        return Stats(
            server: serverStats(statistics),
            disks: statistics.exports.compactMap { own in
                exports.first { $0.name == own.name }.flatMap { DiskStats($0, own) }
            },
            connections: statistics.connections.map { ConnectionStats($0) },
            saves: saves(), snapshots: snapshots())
    }

    private func serverStats(_ statistics: ServerStatistics) -> ServerStats {
        ServerStats(
            version: Version.current, pid: getpid(), sandbox: sandbox,
            uptimeSeconds: Double(statistics.uptimeNanoseconds) / 1e9,
            monotonicNanoseconds: statistics.monotonicNanoseconds,
            isCounting: statistics.isCounting,
            addresses: addresses, residentBytes: ResidentMemory.bytes,
            openConnections: statistics.connections.count, maximumConnections: maximumConnections,
            acceptedConnections: statistics.accepted, refusedConnections: statistics.rejected,
            violations: statistics.violations, traceReaders: statistics.traceReaders,
            activity: Activity(statistics.activity))
    }
}

extension DiskStats {
    /// The statistics of a RAM disk, or of clones, for which the memory is that of the template and all its clones; nil
    /// for an export of another store, such as a snapshot.
    package init?(_ export: Export, _ statistics: ExportStatistics) {
        let disk = export.ramDisk
        guard
            let residentBytes = disk?.residentBytes
                ?? export.template.map({ $0.dataBytes + $0.clonedBytes })
        else {
            return nil
        }
        self.init(
            export: export.name, sizeBytes: export.size,
            residentBytes: residentBytes, isSparse: disk?.isSparse ?? true,
            isReadOnly: export.isReadOnly,
            isLocked: disk.map { !$0.isSparse && $0.lockFailure == nil } ?? false,
            openConnections: statistics.openConnections, activity: Activity(statistics.activity))
    }
}

extension ConnectionStats {
    package init(_ statistics: ConnectionStatistics) {
        self.init(
            number: statistics.number, client: statistics.client, export: statistics.export,
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
