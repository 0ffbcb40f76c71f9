internal import Observability
internal import ProgramSupport

/// The lines that `top` prints for a ``TopModel`` without a terminal.
enum TopLine {
    /// The titles of the columns.
    static let header =
        "UPTIME".right(10) + "CONN".right(6) + "READ/s".right(10) + "REQ/s".right(8)
        + "99 %".right(10) + "WRITE/s".right(10) + "REQ/s".right(8) + "99 %".right(10)
        + "DEPTH".right(7)

    /// Returns the line of the latest sample; nil when there is no earlier one to compute rates
    /// from.
    static func line(_ model: TopModel) -> String? {
        guard let stats = model.stats, model.seconds != nil else { return nil }
        let columns = { (rate: CommandRate) -> String in
            let slowest = rate.latency.percentile(99)
            return Units.bytes(rate.bytes, decimal: model.isDecimal).right(10)
                + Units.count(rate.requests).right(8)
                + (slowest.map { Units.duration(nanoseconds: Double($0)) } ?? "-").right(10)
        }
        let rates = model.rates
        return Units.age(seconds: stats.server.uptimeSeconds).right(10)
            + "\(stats.server.openConnections)".right(6)
            + columns(rates.read) + columns(rates.write)
            + (rates.depth.map(Units.threeDigits) ?? "-").right(7)
    }
}
