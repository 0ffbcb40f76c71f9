internal import Observability
package import ProgramSupport
package import LinuxHost
internal import LinuxIO

/// The view of a ``TopModel`` on so many columns and rows.
package struct TopScreen {
    package let model: TopModel
    package let size: Terminal.Size
    /// Seconds between two looks, as asked for.
    package let interval: Double
    /// Whether the keys are told, on the last row: nobody can press one when it is printed once.
    package var hasKeys = true

    package init(model: TopModel, size: Terminal.Size, interval: Double, hasKeys: Bool = true) {
        self.model = model
        self.size = size
        self.interval = interval
        self.hasKeys = hasKeys
    }

    /// What fits: at most as many lines as there are rows.
    package var lines: [StyledLine] {
        guard let stats = model.stats else { return [StyledLine("waiting for the server")] }
        var lines = TopHead(stats: stats, model: model).lines
        lines += [StyledLine()] + throughput + [StyledLine()] + latencies + [StyledLine()]
        let room = size.rows - lines.count - (hasKeys ? 1 : 0)
        lines += TopConnections(model: model, columns: size.columns).lines(room: room)
        guard hasKeys else { return lines }
        let above = max(0, size.rows - 1)
        lines = Array(lines.prefix(above))
        return lines + Array(repeating: StyledLine(), count: above - lines.count) + [keys]
    }

    // What lines are made of here: a name, four figures, and a picture in the rest.
    private static let figuresWidth = 50
    private var pictureWidth: Int { max(0, min(size.columns, 160) - Self.figuresWidth) }

    private var throughput: [StyledLine] {
        let rates = model.rates
        let depth = rates.depth.map(Units.threeDigits) ?? ""
        let past = model.history
        return [
            header("", "BYTES/s", "REQ/s", "AVG SIZE", "DEPTH"),
            figures("read", moved(rates.read), past.map(\.readBytes), .cyan),
            figures("write", moved(rates.write), past.map(\.writeBytes), .magenta),
            figures(
                "total", [bytes(rates.bytes), Units.count(rates.requests), "", depth],
                past.map(\.requests), .green),
        ]
    }

    private func moved(_ rate: CommandRate) -> [String] {
        let average = rate.requests > 0 ? bytes(rate.bytes / rate.requests) : ""
        return [bytes(rate.bytes), Units.count(rate.requests), average, ""]
    }

    private var latencies: [StyledLine] {
        let rates = model.rates
        let past = model.history
        return [
            header("LATENCY", "50 %", "90 %", "99 %", "99.9 %"),
            figures("read", times(rates.read), past.map(\.readLatency), .cyan),
            figures("write", times(rates.write), past.map(\.writeLatency), .magenta),
            seldom("flush", rates.flush, .yellow),
            seldom("trim", rates.trim, .blue),
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
        // Over the pictures: how long ago their left end is.
        let ages = "  last \(Units.age(seconds: Double(pictureWidth) * interval))"
        if ages.count <= pictureWidth { line.add(ages, .dim) }
        return line
    }

    private func figures(
        _ name: String, _ columns: [String], _ past: [Double?], _ ink: TextStyle
    ) -> StyledLine {
        var line = StyledLine(name.left(8), ink)
        for column in columns { line.add(column.right(10)) }
        line.pad(to: Self.figuresWidth)
        line.add(Bars.sparkline(past, width: pictureWidth), ink)
        return line
    }

    /// What has no picture has its rate there.
    private func seldom(_ name: String, _ rate: CommandRate, _ ink: TextStyle) -> StyledLine {
        var line = StyledLine(name.left(8), ink)
        for column in times(rate) { line.add(column.right(10)) }
        if rate.requests > 0 { line.add("  \(Units.count(rate.requests))/s", .dim) }
        return line
    }

    /// The keys, in as many words as there is room for; how to get out of here is never left out.
    private var keys: StyledLine {
        let units = model.isDecimal ? "kB" : "KiB"
        let pause = model.isPaused ? "go on" : "pause"
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
