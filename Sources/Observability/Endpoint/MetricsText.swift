internal import NBDProtocol
internal import NBDServer

/// Statistics in Prometheus' text format 0.0.4, with base units and names by its conventions:
/// seconds, bytes, `_total` for counters.
///
/// swift-prometheus would not fit: it wants to own the counters and have them incremented through
/// it, while here a scrape reads counters that the engine keeps anyway.
struct MetricsText {
    private(set) var text = ""

    /// Writes all statistics of a server. Connections are short-lived, so they have no series of
    /// their own: the series of a disk include everything that its connections did.
    init(_ stats: Stats) {
        writeServer(stats.server)
        writeDisks(stats.disks)
        writeRequests(stats.disks)
        writeBatchesAndPolling(stats.disks)
        writeSaves(stats.saves)
        writeSnapshots(stats.snapshots, of: stats.disks)
    }

    private mutating func writeSaves(_ saves: [SaveStats]) {
        guard !saves.isEmpty else { return }
        func series(
            _ name: String, _ type: Kind, _ help: String, _ value: (SaveStats) -> Double?
        ) {
            begin(name, type, help)
            for save in saves {
                if let value = value(save) { line(name, value, [("export", save.export)]) }
            }
        }
        series(
            "save_interval_seconds", .gauge, "How often the disk is saved, if it is at intervals."
        ) {
            $0.intervalSeconds
        }
        series("save_timestamp_seconds", .gauge, "When the disk's image was saved, since 1970.") {
            $0.savedUnixSeconds
        }
        series("save_duration_seconds", .gauge, "How long the last save took.", \.seconds)
        series("save_written_bytes", .gauge, "Bytes that the last save wrote to the image.") {
            $0.writtenBytes.map { Double($0) }
        }
        series("save_dirty_bytes", .gauge, "Bytes of pages that have changed since the last save.")
        {
            Double($0.dirtyBytes)
        }
        series(
            "restore_missing_bytes", .gauge, "Bytes of the image that are not on the disk yet."
        ) {
            $0.restore.map { Double($0.bytesTotal - $0.bytesDone) } ?? 0
        }
        series("restore_failed", .gauge, "Whether a part of the image cannot be restored.") {
            $0.restore?.error == nil ? 0 : 1
        }
        series("saves_total", .counter, "Saves that have succeeded.") { Double($0.saves) }
        series("save_failures_total", .counter, "Saves that have failed.") { Double($0.failures) }
    }

    /// Writes them for each disk, also for one without snapshots, so that the first one is a change.
    private mutating func writeSnapshots(_ snapshots: [SnapshotStatus], of disks: [DiskStats]) {
        func series(_ name: String, _ help: String, _ value: ([SnapshotStatus]) -> Double) {
            begin(name, .gauge, help)
            for disk in disks {
                line(name, value(snapshots.filter { $0.disk == disk.export }), disk.labels)
            }
        }
        series("snapshots", "Snapshots and open checkpoints of the disk, lost ones included.") {
            Double($0.count)
        }
        series("snapshots_lost", "Snapshots and checkpoints whose memory was used up.") {
            Double($0.count(where: \.isLost))
        }
        series("snapshot_preserved_bytes", "Memory that the disk's snapshots take.") {
            Double($0.map(\.preservedBytes).max() ?? 0)
        }
    }

    private mutating func writeServer(_ server: ServerStats) {
        single("build_info", .gauge, "Version of the server.", 1, [("version", server.version)])
        single("uptime_seconds", .gauge, "Time since the server started.", server.uptimeSeconds)
        single(
            "resident_memory_bytes", .gauge, "Resident memory of the process, including its disks.",
            server.residentBytes)
        single("connections", .gauge, "Open connections.", server.openConnections)
        single(
            "connections_limit", .gauge, "Maximum number of open connections.",
            server.maximumConnections)
        single(
            "connections_accepted_total", .counter, "Connections accepted.",
            server.acceptedConnections)
        single(
            "connections_refused_total", .counter, "Clients rejected before they were served.",
            server.refusedConnections)
        single(
            "protocol_violations_total", .counter,
            "Connections closed because the client violated the protocol.", server.violations)
        single("trace_readers", .gauge, "Clients that are reading /trace.", server.traceReaders)
    }

    private mutating func writeDisks(_ disks: [DiskStats]) {
        begin("disk_size_bytes", .gauge, "Size of the disk.")
        for disk in disks { line("disk_size_bytes", disk.sizeBytes, disk.labels) }
        begin("disk_resident_bytes", .gauge, "Resident memory of the disk.")
        for disk in disks { line("disk_resident_bytes", disk.residentBytes, disk.labels) }
        begin("disk_sparse", .gauge, "1 if memory is allocated when it is written, else 0.")
        for disk in disks { line("disk_sparse", disk.isSparse ? 1 : 0, disk.labels) }
        begin("disk_connections", .gauge, "Open connections that use the disk.")
        for disk in disks { line("disk_connections", disk.openConnections, disk.labels) }
    }

    private mutating func writeRequests(_ disks: [DiskStats]) {
        begin("requests_total", .counter, "Requests completed, with or without an error.")
        forEachCommand(disks) { $0.line("requests_total", $1.requests, $2) }
        begin("bytes_total", .counter, "Bytes of the requests that succeeded.")
        forEachCommand(disks) { $0.line("bytes_total", $1.bytes, $2) }
        begin("request_errors_total", .counter, "Requests that failed.")
        forEachCommand(disks) { $0.line("request_errors_total", $1.errors, $2) }
        begin("errors_total", .counter, "Error replies, by the protocol's name of the error.")
        for disk in disks {
            let counts = Dictionary(
                uniqueKeysWithValues: disk.activity.errors.map { ($0.error, $0.requests) })
            // Those that have not occurred too, so that the first one is an increase.
            for name in WireError.allCases.dropFirst().map(\.name) + ["other"] {
                line("errors_total", counts[name] ?? 0, disk.labels + [("error", name)])
            }
        }
        begin(
            "request_duration_seconds", .histogram,
            "Time from the receive that returned a request to the end of the send of its reply.")
        forEachCommand(disks) { text, command, labels in
            guard command.command != .disconnect else { return }
            text.histogram("request_duration_seconds", command.latency, labels)
        }
    }

    private mutating func writeBatchesAndPolling(_ disks: [DiskStats]) {
        begin("batch_requests", .histogram, "Requests whose replies were sent in one call.")
        for disk in disks {
            let batches = disk.activity.batches
            var sum: UInt64 = 0
            for (power, count) in batches.bySize.dropLast().enumerated() {
                sum += count
                line("batch_requests_bucket", sum, disk.labels + [("le", "\(1 << power)")])
            }
            line("batch_requests_bucket", batches.count, disk.labels + [("le", "+Inf")])
            line("batch_requests_sum", batches.requests, disk.labels)
            line("batch_requests_count", batches.count, disk.labels)
        }
        begin("poll_hits_total", .counter, "Waits in which busy-polling received the next request.")
        for disk in disks { line("poll_hits_total", disk.activity.polling.hits, disk.labels) }
        begin(
            "poll_sleeps_total", .counter, "Waits in which the thread slept until the next request."
        )
        for disk in disks { line("poll_sleeps_total", disk.activity.polling.sleeps, disk.labels) }
    }

    // MARK: - The format

    private enum Kind: String { case gauge, counter, histogram }
    fileprivate typealias Labels = [(name: String, value: String)]

    private mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP ramdisk_nbd_\(name) \(help)\n# TYPE ramdisk_nbd_\(name) \(kind)\n"
    }

    private mutating func line(_ name: String, _ value: some Numeric, _ labels: Labels = []) {
        text += "ramdisk_nbd_\(name)"
        if !labels.isEmpty {
            text +=
                "{"
                + labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }
                .joined(separator: ",") + "}"
        }
        text += " \(value)\n"
    }

    private mutating func single(
        _ name: String, _ kind: Kind, _ help: String, _ value: some Numeric, _ labels: Labels = []
    ) {
        begin(name, kind, help)
        line(name, value, labels)
    }

    private mutating func forEachCommand(
        _ disks: [DiskStats], _ body: (inout Self, CommandActivity, Labels) -> Void
    ) {
        for disk in disks {
            for command in disk.activity.commands {
                body(&self, command, disk.labels + [("command", command.command.rawValue)])
            }
        }
    }

    /// Writes a histogram with one bucket for each power of two from 1 microsecond to 17 seconds.
    private mutating func histogram(
        _ name: String, _ latency: LatencyHistogram, _ labels: Labels
    ) {
        var sum: UInt64 = 0
        var bound: UInt64 = 1 << 10
        for (bucket, count) in latency.counts.enumerated() {
            while LatencyScale.upperBound(of: bucket) > bound, bound <= 1 << 34 {
                line("\(name)_bucket", sum, labels + [("le", "\(Double(bound) / 1e9)")])
                bound <<= 1
            }
            sum += count
        }
        while bound <= 1 << 34 {
            line("\(name)_bucket", sum, labels + [("le", "\(Double(bound) / 1e9)")])
            bound <<= 1
        }
        line("\(name)_bucket", latency.count, labels + [("le", "+Inf")])
        line("\(name)_sum", Double(latency.sumNanoseconds) / 1e9, labels)
        line("\(name)_count", latency.count, labels)
    }

    private static func escaped(_ value: String) -> String {
        var result = ""
        for character in value.unicodeScalars {
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}

extension DiskStats {
    fileprivate var labels: MetricsText.Labels { [("export", export)] }
}
