internal import FoundationEssentials
internal import ProgramSupport
package import Observability
internal import LinuxHost
internal import LinuxIO

/// The response to `/stats` as lines and tables. Without a width, lines have at most 100
/// characters, unless a name is longer.
package struct StatsText {
    package private(set) var text = ""

    private let width: Int
    private let device: String?

    /// - Parameters:
    ///   - width: maximum number of characters in a line; nil for no limit.
    ///   - device: the device that the server's disk is attached to, if any.
    package init(_ stats: Stats, device: String? = nil, width: Int? = nil) {
        self.width = width ?? .max
        self.device = device
        writeServer(stats)
        writeDisks(stats.disks)
        writeSaves(stats.saves)
        writeConnections(stats.connections)
        writeCommands(stats.server.activity)
        writeErrors(stats.server.activity)
    }

    private mutating func writeServer(_ stats: Stats) {
        let server = stats.server
        let activity = server.activity
        line(
            "server",
            "ramdisk-nbd \(server.version), pid \(server.pid), up "
                + Units.age(seconds: server.uptimeSeconds))
        for address in server.addresses { line("address", address) }
        if let device { line("device", device) }
        line("memory", Units.bytes(Double(server.residentBytes)))
        line(
            "connections",
            "\(server.openConnections) of \(server.maximumConnections) open, "
                + "\(server.acceptedConnections) accepted, \(server.refusedConnections) rejected, "
                + "\(server.violations) violated the protocol")
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

    private mutating func writeDisks(_ disks: [DiskStats]) {
        table(
            [
                .left("DISK"), .right("SIZE"), .right("MEMORY"), .right("CLIENTS"),
                .right("REQUESTS"), .right("READ"), .right("WRITTEN"), .left("KIND"),
            ],
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
            })
    }

    private mutating func writeSaves(_ saves: [SaveStats]) {
        guard !saves.isEmpty else { return }
        table(
            [
                .left("IMAGE OF"), .left("SAVED"), .right("TOOK"), .right("WROTE"),
                .right("CHANGED"), .right("FAILURES"), .left("PATH"),
            ],
            saves.map { save in
                [
                    "\"\(save.export)\"", save.age.map { "\($0) ago" } ?? "never",
                    save.seconds.map { Units.duration(nanoseconds: $0 * 1e9) } ?? "-",
                    save.writtenBytes.map { Units.bytes(Double($0)) } ?? "-",
                    Units.bytes(Double(save.dirtyBytes)), "\(save.failures)", save.image,
                ]
            })
        for save in saves {
            if let restore = save.restore {
                line(
                    "restore",
                    [restore.text, restore.error].compactMap { $0 }.joined(separator: "; "))
            }
            if let error = save.error { line("not saved", error) }
        }
    }

    private mutating func writeConnections(_ connections: [ConnectionStats]) {
        table(
            [
                .right("CONNECTION"), .left("CLIENT"), .left("DISK"), .left("TLS"), .right("OPEN"),
                .right("REQUESTS"), .right("READ"), .right("WRITTEN"), .right("DEPTH"),
            ],
            connections.map { connection in
                [
                    "\(connection.number)", connection.client,
                    connection.export.map { "\"\($0)\"" } ?? "-", connection.isTLS ? "yes" : "no",
                    Units.age(seconds: connection.openSeconds), "\(connection.activity.requests)",
                    bytes(connection.activity, .read), bytes(connection.activity, .write),
                    Units.fixed(connection.activity.batches.average, decimals: 1),
                ]
            })
    }

    private mutating func writeCommands(_ activity: Activity) {
        table(
            [
                .left("COMMAND"), .right("REQUESTS"), .right("BYTES"), .right("ERRORS"),
                .right("MEAN"), .right("50 %"), .right("90 %"), .right("99 %"), .right("99.9 %"),
            ],
            activity.commands.map { command in
                let latency = command.latency
                let times =
                    [latency.meanNanoseconds]
                    + [50, 90, 99, 99.9].map { latency.percentile($0).map { Double($0) } }
                return [
                    command.command.rawValue, "\(command.requests)",
                    Units.bytes(Double(command.bytes)), "\(command.errors)",
                ] + times.map { $0.map { Units.duration(nanoseconds: $0) } ?? "-" }
            })
    }

    private mutating func writeErrors(_ activity: Activity) {
        table(
            [.left("ERROR"), .right("REQUESTS")],
            activity.errors.map { [$0.error, "\($0.requests)"] })
    }

    // MARK: - Lines and columns

    private func bytes(_ activity: Activity, _ name: CommandName) -> String {
        Units.bytes(Double(activity.command(name).bytes))
    }

    /// Appends a title and its value. A value that is too long wraps between words, aligned under
    /// its first line.
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
        for (index, line) in lines.enumerated() {
            text += (index == 0 ? title : "").left(Self.titleWidth) + line + "\n"
        }
    }

    private static let titleWidth = 13

    /// Appends a table, unless it has no rows. Columns that do not fit into the width follow below,
    /// in a table that repeats the first column.
    private mutating func table(_ columns: [TextTable.Column], _ rows: [[String]]) {
        guard !rows.isEmpty else { return }
        for part in TextTable(columns, rows: rows).parts(width: width) { text += "\n" + part }
    }
}

extension SaveStats {
    /// The time since the image was saved, in words; nil when it never was.
    var age: String? {
        savedUnixSeconds.map { Units.age(seconds: max(0, Date().timeIntervalSince1970 - $0)) }
    }
}
