internal import Observability
internal import ProgramSupport

/// The lines that present a ``TraceSummary``.
struct SummaryText {
    let summary: TraceSummary
    /// Maximum number of characters in a line of the map and the histograms.
    let width: Int

    /// All lines.
    var lines: [StyledLine] {
        var lines = [head]
        guard summary.requests > 0 else { return lines }
        lines += [StyledLine()] + commandTable
        for (export, disk) in summary.disks { lines += heatMap(export, disk) }
        lines += [StyledLine()]
        lines += histogram("SIZE", summary.sizes, .cyan) { Units.bytes(Double($0)) }
        lines += [StyledLine()]
        lines += histogram("DURATION", summary.times, .green) {
            Units.duration(nanoseconds: Double($0))
        }
        return lines
    }

    private var head: StyledLine {
        let seconds = Double(summary.lastNanoseconds) / 1e9
        var line = StyledLine("\(summary.requests) requests", .bold)
        line.add(" in \(Units.duration(nanoseconds: seconds * 1e9))")
        if summary.dropped > 0 {
            line.add(", and \(summary.dropped) more that were lost", .red)
        }
        return line
    }

    private var commandTable: [StyledLine] {
        var lines = [
            StyledLine(
                "COMMAND".left(14) + "REQUESTS".right(10) + "BYTES".right(12) + "ERRORS".right(8)
                    + "MEDIAN".right(11) + "99 %".right(11) + "LONGEST".right(11), .dim)
        ]
        for name in CommandName.allCases {
            guard let command = summary.commands[name] else { continue }
            var line = StyledLine(name.rawValue.left(14), name.style)
            line.add("\(command.requests)".right(10))
            line.add((name.hasRange ? Units.bytes(Double(command.bytes)) : "").right(12))
            line.add("\(command.errors)".right(8), command.errors > 0 ? .red : .plain)
            for percent in [50.0, 99, 100] {
                line.add(duration(command.latency.percentile(percent)).right(11))
            }
            lines.append(line)
        }
        for (error, count) in summary.errors.sorted(by: { $0.key < $1.key }) {
            lines.append(StyledLine("  \(error): \(count)", .red))
        }
        return lines
    }

    private func duration(_ nanoseconds: UInt64?) -> String {
        nanoseconds.map { Units.duration(nanoseconds: Double($0)) } ?? ""
    }

    /// Returns a map of the disk in two rows, for reads and writes, from its first byte on the left
    /// to its last on the right.
    private func heatMap(_ export: String, _ disk: TraceSummary.Disk) -> [StyledLine] {
        guard disk.reads.contains(where: { $0 > 0 }) || disk.writes.contains(where: { $0 > 0 })
        else { return [] }
        let columns = max(16, min(width - 10, 128))
        let name = export.isEmpty ? "the disk" : "disk \(export)"
        let title = "OFFSET  \(name), \(Units.bytes(Double(disk.sizeBytes))), "
        let each = Units.bytes(Double(disk.sizeBytes) / Double(columns))
        var lines = [StyledLine(), StyledLine(title + "each character \(each)", .dim)]
        for (label, counts, style) in [
            ("read", disk.reads, TextStyle.cyan), ("written", disk.writes, .magenta),
        ] {
            let folded = Self.fold(counts, into: columns)
            let highest = folded.max() ?? 0
            var line = StyledLine(label.left(9))
            line.add(String(folded.map { Bars.shade($0, of: highest) }), style)
            lines.append(line)
        }
        return lines
    }

    /// Returns for each column the highest count of the regions that share it.
    private static func fold(_ counts: [UInt64], into columns: Int) -> [UInt64] {
        (0..<columns).map { column in
            let first = column * counts.count / columns
            let end = max(first + 1, (column + 1) * counts.count / columns)
            return counts[first..<end].max() ?? 0
        }
    }

    private func histogram(
        _ title: String, _ powers: TraceSummary.Powers, _ style: TextStyle,
        _ unit: (UInt64) -> String
    ) -> [StyledLine] {
        guard let first = powers.keys.min(), let last = powers.keys.max() else { return [] }
        let all = powers.values.reduce(0, +)
        let highest = Double(powers.values.max() ?? 1)
        let room = max(10, width - 34)
        let rows = (first...last).map { power -> StyledLine in
            let count = powers[power] ?? 0
            var line = StyledLine("up to " + unit(1 << UInt64(min(power, 63))).right(9))
            line.add("\(count)".right(9))
            let percent = Double(count) * 100 / Double(all)
            line.add((Units.fixed(percent, decimals: 1) + " %").right(8) + " ", .dim)
            line.add(Bars.bar(Double(count) / highest, width: room), style)
            return line
        }
        return [StyledLine(title, .dim)] + rows
    }
}
