internal import Observability
internal import ProgramSupport
internal import LinuxHost
internal import LinuxIO

/// The lines that show a ``TopModel`` on a terminal of a given size.
struct TopScreen {
    let model: TopModel
    let size: Terminal.Size
    /// Configured interval between two samples, in seconds.
    let interval: Double
    /// Whether the last row lists the keys. `top --once` reads no keys and lists none.
    var hasKeys = true

    /// The lines that fit: at most as many as the terminal has rows.
    var lines: [StyledLine] {
        guard let stats = model.stats else { return [StyledLine("waiting for the server")] }
        var lines = TopHeader(stats: stats, model: model).lines
        lines += [StyledLine()] + throughput + [StyledLine()] + latencies + [StyledLine()]
        let room = size.rows - lines.count - (hasKeys ? 1 : 0)
        lines += TopConnections(model: model, columns: size.columns).lines(room: room)
        guard hasKeys else { return lines }
        let above = max(0, size.rows - 1)
        lines = Array(lines.prefix(above))
        return lines + Array(repeating: StyledLine(), count: above - lines.count) + [keys]
    }

    // A line has a name and four values in this width, and a sparkline in the rest.
    private static let valuesWidth = 50
    private var sparklineWidth: Int { max(0, min(size.columns, 160) - Self.valuesWidth) }

    private var throughput: [StyledLine] {
        let rates = model.rates
        let depth = rates.depth.map(Units.threeDigits) ?? ""
        let past = model.history
        return [
            header("", "BYTES/s", "REQ/s", "AVG SIZE", "DEPTH"),
            row("read", transferred(rates.read), past.map(\.readBytes), .cyan),
            row("write", transferred(rates.write), past.map(\.writeBytes), .magenta),
            row(
                "total", [bytes(rates.bytes), Units.count(rates.requests), "", depth],
                past.map(\.requests), .green),
        ]
    }

    private func transferred(_ rate: CommandRate) -> [String] {
        let average = rate.requests > 0 ? bytes(rate.bytes / rate.requests) : ""
        return [bytes(rate.bytes), Units.count(rate.requests), average, ""]
    }

    private var latencies: [StyledLine] {
        let rates = model.rates
        let past = model.history
        return [
            header("LATENCY", "50 %", "90 %", "99 %", "99.9 %"),
            row("read", times(rates.read), past.map(\.readLatency), .cyan),
            row("write", times(rates.write), past.map(\.writeLatency), .magenta),
            rowWithoutSparkline("flush", rates.flush, .yellow),
            rowWithoutSparkline("trim", rates.trim, .blue),
        ]
    }

    private func times(_ rate: CommandRate) -> [String] {
        [50, 90, 99, 99.9].map { percent in
            rate.latency.percentile(percent).map { Units.duration(nanoseconds: Double($0)) } ?? ""
        }
    }

    private func header(_ name: String, _ columns: String...) -> StyledLine {
        var line = StyledLine(name.left(8), .dim)
        for column in columns { line.add(column.right(10), .dim) }
        // Above the sparklines: how long ago their left end is.
        let ages = "  last \(Units.age(seconds: Double(sparklineWidth) * interval))"
        if ages.count <= sparklineWidth { line.add(ages, .dim) }
        return line
    }

    private func row(
        _ name: String, _ columns: [String], _ past: [Double?], _ style: TextStyle
    ) -> StyledLine {
        var line = StyledLine(name.left(8), style)
        for column in columns { line.add(column.right(10)) }
        line.pad(to: Self.valuesWidth)
        line.add(Bars.sparkline(past, width: sparklineWidth), style)
        return line
    }

    /// Returns a row that has the rate in place of a sparkline.
    private func rowWithoutSparkline(_ name: String, _ rate: CommandRate, _ style: TextStyle)
        -> StyledLine
    {
        var line = StyledLine(name.left(8), style)
        for column in times(rate) { line.add(column.right(10)) }
        if rate.requests > 0 { line.add("  \(Units.count(rate.requests))/s", .dim) }
        return line
    }

    /// The list of keys, with as many words as fit. How to quit is always included.
    private var keys: StyledLine {
        let units = model.isDecimal ? "kB" : "KiB"
        let pause = model.isPaused ? "resume" : "pause"
        let long = keys([
            ("s", "sort: \(model.order.rawValue)"), ("d", "disk: \(diskName)"),
            ("u", "units: \(units)"), ("p", pause), ("q", "quit"),
        ])
        if long.width <= size.columns { return long }
        let short = keys([
            ("q", "quit"), ("p", pause), ("s", model.order.rawValue), ("d", diskName), ("u", units),
        ])
        if short.width <= size.columns { return short }
        return keys([("q", "quit"), ("p", ""), ("s", ""), ("d", ""), ("u", "")])
    }

    private func keys(_ choices: [(key: String, meaning: String)]) -> StyledLine {
        var line = StyledLine()
        for (key, meaning) in choices {
            line.add(" \(key) ", .inverse)
            line.add(meaning.isEmpty ? " " : " \(meaning)  ")
        }
        return line
    }

    private var diskName: String {
        guard let disk = model.disk else { return "all" }
        return disk.isEmpty ? "no name" : String(disk.prefix(20))
    }

    private func bytes(_ value: Double) -> String { Units.bytes(value, decimal: model.isDecimal) }
}
