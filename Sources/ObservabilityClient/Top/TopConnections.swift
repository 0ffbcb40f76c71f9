internal import Observability
internal import ProgramSupport

/// The table of connections of a ``TopModel``, in its order.
struct TopConnections {
    let model: TopModel
    /// Maximum number of characters in a line.
    let columns: Int

    /// Returns the table in at most `room` lines, or nothing where not even one row fits. When rows
    /// do not fit, the last line has their number.
    func lines(room: Int) -> [StyledLine] {
        guard room > 1 else { return [] }
        let rows = model.rows
        guard !rows.isEmpty else { return [header, StyledLine("no connections", .dim)] }
        let shown = rows.count < room ? rows.count : room - 2
        let lines = [header] + rows.prefix(shown).map(line)
        guard shown < rows.count else { return lines }
        return lines + [StyledLine("and \(rows.count - shown) more", .dim)]
    }

    // The column of the client gets the width that the other columns leave.
    private static let otherColumns = 62
    private var clientWidth: Int { max(12, min(44, columns - Self.otherColumns)) }

    private var header: StyledLine {
        var line = StyledLine(
            "CONN".right(5) + "  " + "CLIENT".left(clientWidth) + " " + "DISK".left(8), .dim)
        let columns: [(name: String, order: TopModel.Order, width: Int)] = [
            ("READ/s", .bytes, 9), ("WRITE/s", .bytes, 9), ("REQ/s", .requests, 7),
            ("DEPTH", .number, 6), ("99 %", .latency, 9), ("ERR/s", .number, 6),
        ]
        for column in columns {
            let isChosen = column.order == model.order && column.order != .number
            line.pad(to: line.width + column.width - column.name.count)
            line.add(column.name, isChosen ? .bold : .dim)
        }
        return line
    }

    private func line(_ row: TopModel.Row) -> StyledLine {
        let rates = row.rates
        var line = StyledLine("\(row.connection.number)".right(5) + "  ")
        let client = (row.connection.isTLS ? "TLS " : "") + row.connection.client
        line.add(client.left(clientWidth) + " ")
        line.add((row.connection.export ?? "-").left(8))
        line.add(bytes(rates.read.bytes).right(9), rates.read.bytes > 0 ? .cyan : .dim)
        line.add(bytes(rates.write.bytes).right(9), rates.write.bytes > 0 ? .magenta : .dim)
        line.add(Units.count(rates.requests).right(7), rates.requests > 0 ? .plain : .dim)
        line.add((rates.depth.map(Units.threeDigits) ?? "").right(6))
        let slowest = rates.latency.percentile(99)
        line.add((slowest.map { Units.duration(nanoseconds: Double($0)) } ?? "").right(9))
        line.add((rates.errors > 0 ? Units.count(rates.errors) : "").right(6), .red)
        return line
    }

    private func bytes(_ value: Double) -> String { Units.bytes(value, decimal: model.isDecimal) }
}
