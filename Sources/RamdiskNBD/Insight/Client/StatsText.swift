internal import LinuxHost
internal import LinuxIO
internal import NBDKernel

/// Lines and tables of what `/stats` tells. Without a width nothing in it is wider than 100 columns, unless
/// a name is.
struct StatsText {
    private(set) var text = ""

    private let width: Int

    /// - Parameter width: characters in a line; nil for as many as it takes.
    init(_ stats: Stats, width: Int? = nil) {
        self.width = width ?? .max
        writeServer(stats)
        writeDisks(stats.disks)
        writeConnections(stats.connections)
        writeCommands(stats.server.activity)
        writeErrors(stats.server.activity)
    }

    private mutating func writeServer(_ stats: Stats) {
        let server = stats.server
        let activity = server.activity
        line(
            "server",
            "ramdisk-nbd \(server.version), process \(server.pid), up "
                + Units.age(seconds: server.uptimeSeconds))
        for address in server.addresses { line("address", address) }
        if let device = Self.device(of: stats) { line("device", device) }
        line("memory", Units.bytes(Double(server.residentBytes)))
        line(
            "connections",
            "\(server.openConnections) of \(server.maximumConnections) open, "
                + "\(server.acceptedConnections) taken in, \(server.refusedConnections) refused, "
                + "\(server.violations) broke the protocol")
        guard server.isCounting else {
            return line("requests", "not counted (--no-stats)")
        }
        line(
            "requests",
            "\(activity.requests), depth \(Units.fixed(activity.batches.average, decimals: 1))")
        if let hitRate = activity.polling.hitRate {
            line("polling", "\(Units.fixed(hitRate * 100, decimals: 0)) % of waits needed no sleep")
        }
    }

    /// The device that the server's disk is attached to, and where that is mounted, if `up` has brought it
    /// up: its record says so.
    static func device(of stats: Stats) -> String? {
        let pid = stats.server.pid
        let record = RuntimeDirectory()?.records.first { record in
            record.owner.pid == pid || record.worker?.pid == pid
        }
        guard let record, let device = (try? record.attachedDevice()) ?? nil else { return nil }
        return device.path + (record.mountPoint.map { ", at \($0)" } ?? "")
    }

    private mutating func writeDisks(_ disks: [DiskStats]) {
        table(
            ["DISK", "SIZE", "MEMORY", "CLIENTS", "REQUESTS", "READ", "WRITTEN", "KIND"],
            disks.map { disk in
                let kind = [
                    disk.isSparse ? "sparse" : disk.isLocked ? "locked" : "not locked",
                    disk.isReadOnly ? "read-only" : nil,
                ]
                return [
                    "\"\(disk.export)\"", Units.exactBytes(disk.sizeBytes),
                    Units.bytes(Double(disk.residentBytes)), "\(disk.openConnections)",
                    "\(disk.activity.requests)", bytes(disk.activity, .read),
                    bytes(disk.activity, .write), kind.compactMap { $0 }.joined(separator: ", "),
                ]
            }, left: [0, 7])
    }

    private mutating func writeConnections(_ connections: [ConnectionStats]) {
        table(
            [
                "CONNECTION", "CLIENT", "DISK", "TLS", "OPEN", "REQUESTS", "READ", "WRITTEN",
                "DEPTH",
            ],
            connections.map { connection in
                [
                    "\(connection.number)", connection.client,
                    connection.export.map { "\"\($0)\"" } ?? "-", connection.isTLS ? "yes" : "no",
                    Units.age(seconds: connection.openSeconds), "\(connection.activity.requests)",
                    bytes(connection.activity, .read), bytes(connection.activity, .write),
                    Units.fixed(connection.activity.batches.average, decimals: 1),
                ]
            }, left: [1, 2, 3])
    }

    private mutating func writeCommands(_ activity: Activity) {
        table(
            ["COMMAND", "REQUESTS", "BYTES", "ERRORS", "MEAN", "50 %", "90 %", "99 %", "99.9 %"],
            activity.commands.map { command in
                let latency = command.latency
                let times =
                    [latency.meanNanoseconds]
                    + [50, 90, 99, 99.9].map { latency.percentile($0).map { Double($0) } }
                return [
                    command.command.rawValue, "\(command.requests)",
                    Units.bytes(Double(command.bytes)), "\(command.errors)",
                ] + times.map { $0.map { Units.duration(nanoseconds: $0) } ?? "-" }
            }, left: [0])
    }

    private mutating func writeErrors(_ activity: Activity) {
        table(
            ["ERROR", "REQUESTS"], activity.errors.map { [$0.error, "\($0.requests)"] }, left: [0])
    }

    // MARK: - Lines and columns

    private func bytes(_ activity: Activity, _ name: CommandName) -> String {
        Units.bytes(Double(activity.command(name).bytes))
    }

    /// A line, or several that begin under each other, broken between words.
    private mutating func line(_ title: String, _ value: String) {
        let room = max(20, width - Self.titleWidth)
        var lines = [""]
        for word in value.split(separator: " ", omittingEmptySubsequences: false) {
            let last = lines[lines.count - 1]
            if last.isEmpty || last.count + 1 + word.count <= room {
                lines[lines.count - 1] += (last.isEmpty ? "" : " ") + word
            } else {
                lines.append(String(word))
            }
        }
        for (number, line) in lines.enumerated() {
            text += (number == 0 ? title : "").left(Self.titleWidth) + line + "\n"
        }
    }

    private static let titleWidth = 13

    /// Nothing at all without rows. The columns in `left` begin together, the others end together. What there
    /// is no room for comes below, in a table of its own with the first column once more.
    private mutating func table(_ titles: [String], _ rows: [[String]], left: Set<Int>) {
        guard !rows.isEmpty else { return }
        let widths = titles.indices.map { column in
            ([titles] + rows).map { $0[column].count }.max() ?? 0
        }
        var first = 1
        repeat {
            var columns = [0]
            var used = widths[0]
            while first < titles.count, columns.count == 1 || used + 2 + widths[first] <= width {
                used += 2 + widths[first]
                columns.append(first)
                first += 1
            }
            write(columns, of: [titles] + rows, widths, left)
        } while first < titles.count
    }

    private mutating func write(
        _ columns: [Int], of rows: [[String]], _ widths: [Int], _ left: Set<Int>
    ) {
        text += "\n"
        for row in rows {
            let cells = columns.map { column in
                left.contains(column)
                    ? row[column].left(widths[column]) : row[column].right(widths[column])
            }
            text += cells.joined(separator: "  ").withoutTrailingSpaces + "\n"
        }
    }
}
