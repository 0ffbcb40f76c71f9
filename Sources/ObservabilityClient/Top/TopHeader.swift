internal import Observability
internal import ProgramSupport

/// The first two lines of `top`: the server, and its disks.
struct TopHeader {
    let stats: Stats
    let model: TopModel

    var lines: [StyledLine] { [title, disks] }

    private var title: StyledLine {
        let server = stats.server
        var line = StyledLine("ramdisk-nbd", .bold)
        line.add(" \(server.version)  pid \(server.pid)")
        line.add("  up \(Units.age(seconds: server.uptimeSeconds))")
        line.add("  \(server.openConnections) of \(server.maximumConnections) connections")
        if !server.isCounting { line.add("  no statistics (--no-stats)", .red) }
        if server.violations > 0 { line.add("  \(server.violations) violations", .red) }
        if server.traceReaders > 0 { line.add("  traced", .yellow) }
        for save in stats.saves {
            if let restore = save.restore {
                line.add("  \(restore.text)", restore.error == nil ? .yellow : .red)
            } else if save.error != nil {
                line.add("  save failed", .red)
            } else {
                line.add("  saved \(save.age.map { "\($0) ago" } ?? "never")")
            }
        }
        if model.isPaused { line.add("  PAUSED", .yellow) }
        return line
    }

    private var disks: StyledLine {
        let shown = stats.disks.filter { model.disk == nil || $0.export == model.disk }
        let size = shown.reduce(0.0) { $0 + Double($1.sizeBytes) }
        let resident = shown.reduce(0.0) { $0 + Double($1.residentBytes) }
        var line = StyledLine(shown.count == 1 ? "disk " : "\(shown.count) disks, ")
        if shown.count == 1 {
            let disk = shown[0]
            if !disk.export.isEmpty { line.add(disk.export, .bold) }
            if !disk.export.isEmpty { line.add(", ") }
            if disk.isSparse { line.add("sparse, ") }
            if disk.isReadOnly { line.add("read-only, ") }
        }
        line.add(Units.bytes(size, decimal: model.isDecimal))
        line.add("; in memory \(Units.bytes(resident, decimal: model.isDecimal)) ")
        let part = size > 0 ? min(1, resident / size) : 0
        let bar = Bars.bar(part, width: 12)
        line.add(bar, .green)
        line.add(String(repeating: "░", count: 12 - bar.count), .dim)
        line.add(" \(Units.fixed(part * 100, decimals: 0)) %")
        return line
    }
}
