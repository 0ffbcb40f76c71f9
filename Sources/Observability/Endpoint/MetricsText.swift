internal import NBDServer

/// Writes figures in the text format 0.0.4, with base units and names as Prometheus' conventions
/// have them: seconds, bytes, `_total` for what only grows.
struct MetricsText {
    private(set) var text = ""

    /// All of a server's figures. Connections come and go, so there are no series of their own for
    /// them: those of a disk have all that its connections did.
    init(_ stats: Stats) {
        writeServer(stats.server)
        writeDisks(stats.disks)
        writeRequests(stats.disks)
        writeWays(stats.disks)
    }

    private mutating func writeServer(_ server: ServerStats) {
        one("build_info", .gauge, "Version of the server.", 1, [("version", server.version)])
        one("uptime_seconds", .gauge, "Time since it began to serve.", server.uptimeSeconds)
        one(
            "resident_memory_bytes", .gauge, "Memory of the process in RAM, disks included.",
            server.residentBytes)
        one("connections", .gauge, "Connections open now.", server.openConnections)
        one("connections_limit", .gauge, "Connections there may be.", server.maximumConnections)
        one(
            "connections_accepted_total", .counter, "Connections taken in.",
            server.acceptedConnections)
        one(
            "connections_refused_total", .counter, "Clients turned away.",
            server.refusedConnections)
        one(
            "protocol_violations_total", .counter,
            "Connections ended because the client broke the protocol.", server.violations)
        one("trace_readers", .gauge, "Readers of /trace.", server.traceReaders)
    }

    private mutating func writeDisks(_ disks: [DiskStats]) {
        begin("disk_size_bytes", .gauge, "Size of the disk.")
        for disk in disks { line("disk_size_bytes", disk.sizeBytes, disk.labels) }
        begin("disk_resident_bytes", .gauge, "Memory that the disk takes up.")
        for disk in disks { line("disk_resident_bytes", disk.residentBytes, disk.labels) }
        begin("disk_connections", .gauge, "Connections that use the disk now.")
        for disk in disks { line("disk_connections", disk.openConnections, disk.labels) }
    }

    private mutating func writeRequests(_ disks: [DiskStats]) {
        begin("requests_total", .counter, "Requests answered.")
        each(disks) { $0.line("requests_total", $1.requests, $2) }
        begin("bytes_total", .counter, "Bytes of the requests that went well.")
        each(disks) { $0.line("bytes_total", $1.bytes, $2) }
        begin("request_errors_total", .counter, "Requests answered with an error.")
        each(disks) { $0.line("request_errors_total", $1.errors, $2) }
        begin("errors_total", .counter, "Errors answered, by the protocol's name for them.")
        for disk in disks {
            for error in disk.activity.errors {
                line("errors_total", error.requests, disk.labels + [("error", error.error)])
            }
        }
        begin(
            "request_duration_seconds", .histogram,
            "From the receive that brought a request to the end of the send of its reply.")
        each(disks) { text, command, labels in
            guard command.command != .disconnect else { return }
            text.histogram("request_duration_seconds", command.latency, labels)
        }
    }

    private mutating func writeWays(_ disks: [DiskStats]) {
        begin("batch_requests", .histogram, "Requests whose replies left in one send.")
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
        begin("poll_hits_total", .counter, "Waits that found the next request while looking.")
        for disk in disks { line("poll_hits_total", disk.activity.polling.hits, disk.labels) }
        begin("poll_sleeps_total", .counter, "Waits that slept until the next request came.")
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

    private mutating func one(
        _ name: String, _ kind: Kind, _ help: String, _ value: some Numeric, _ labels: Labels = []
    ) {
        begin(name, kind, help)
        line(name, value, labels)
    }

    private mutating func each(
        _ disks: [DiskStats], _ body: (inout Self, CommandActivity, Labels) -> Void
    ) {
        for disk in disks {
            for command in disk.activity.commands {
                body(&self, command, disk.labels + [("command", command.command.rawValue)])
            }
        }
    }

    /// A bucket for each power of two from 1 microsecond to 17 seconds.
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
