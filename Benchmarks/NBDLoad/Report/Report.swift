internal import FoundationEssentials
internal import Histogram

/// One line of a report: a key for JSON, a title for people, and the value.
struct ReportLine {
    /// The value of a line.
    enum Value {
        case text(String)
        case count(Int)
        /// A number, shown with a fixed count of decimals.
        case number(Double, decimals: Int)
    }

    let key: String
    let title: String
    let value: Value
    var unit = ""
}

extension ReportLine.Value: Encodable {
    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .count(let count): try container.encode(count)
        case .number(let number, let decimals):
            // Rounded like the table.
            try container.encode(Double(fixed(number, decimals: decimals)) ?? number)
        }
    }
}

/// The result of a run, as a table for people or as JSON for programs.
struct Report {
    var lines: [ReportLine]

    /// The lines as one JSON object on one line, with sorted keys.
    var json: String {
        let values = Dictionary(uniqueKeysWithValues: lines.map { ($0.key, $0.value) })
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // A dictionary of texts and finite numbers can always be encoded.
        guard let data = try? encoder.encode(values) else { return "{}" }
        return String(decoding: data, as: UTF8.self)
    }

    /// The lines as an aligned table: titles on the left, values on the right.
    var text: String {
        let rows = lines.map { line -> (title: String, value: String, unit: String) in
            let value =
                switch line.value {
                case .text(let text): text
                case .count(let count): grouped(String(count))
                case .number(let number, let decimals): grouped(fixed(number, decimals: decimals))
                }
            return (line.title, value, line.unit)
        }
        let titleWidth = rows.map(\.title.count).max() ?? 0
        let valueWidth = rows.map(\.value.count).max() ?? 0
        return rows.map { row in
            row.title + String(repeating: " ", count: titleWidth - row.title.count + 2)
                + String(repeating: " ", count: valueWidth - row.value.count) + row.value
                + (row.unit.isEmpty ? "" : " " + row.unit)
        }.joined(separator: "\n")
    }
}

/// Formats a number, which must not be negative, with a fixed count of decimals.
private func fixed(_ number: Double, decimals: Int) -> String {
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let whole = Int((number * scale).rounded())
    guard decimals > 0 else { return String(whole) }
    let digits = String(whole)
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    return padded.dropLast(decimals) + "." + padded.suffix(decimals)
}

/// Groups the digits of a number by thousands: `1,234,567.8`.
private func grouped(_ number: String) -> String {
    let whole = number.prefix { $0 != "." }
    var result = ""
    for (index, digit) in whole.enumerated() {
        if index > 0, (whole.count - index).isMultiple(of: 3) { result.append(",") }
        result.append(digit)
    }
    return result + number.dropFirst(whole.count)
}

extension LoadFigures {
    /// The lines of a report about these statistics: rate, bandwidth, latency and cost.
    func reportLines(blockSize: Int) -> [ReportLine] {
        let bytes = requestsPerSecond * Double(blockSize)
        let perRequest = 1 / Double(max(1, requests))
        return [
            ReportLine(key: "requests", title: "requests", value: .count(requests)),
            ReportLine(
                key: "iops", title: "IOPS", value: .number(requestsPerSecond, decimals: 0),
                unit: "/s"),
            ReportLine(
                key: "megabytes_per_second", title: "bandwidth",
                value: .number(bytes / 1e6, decimals: 1), unit: "MB/s"),
        ] + latencyLines + fairnessLines + [
            ReportLine(
                key: "client_cpu_us_per_request", title: "client CPU per request",
                value: .number(Double(processorNanoseconds) / 1e3 * perRequest, decimals: 3),
                unit: "us"),
            ReportLine(
                key: "client_calls_per_1000_requests", title: "client calls per 1000 requests",
                value: .number(Double(sends + receives) * 1e3 * perRequest, decimals: 1)),
        ]
    }

    /// The lines that compare connections; none for one connection.
    private var fairnessLines: [ReportLine] {
        guard rates.count > 1, let fairness, let slowest = rates.min(), let fastest = rates.max()
        else { return [] }
        return [
            ReportLine(
                key: "fairness", title: "fairness (Jain's index)",
                value: .number(fairness, decimals: 4)),
            ReportLine(
                key: "slowest_connection_iops", title: "slowest connection",
                value: .number(slowest, decimals: 0), unit: "/s"),
            ReportLine(
                key: "fastest_connection_iops", title: "fastest connection",
                value: .number(fastest, decimals: 0), unit: "/s"),
        ]
    }

    /// The lines about latency; none without requests.
    var latencyLines: [ReportLine] {
        guard latency.totalCount > 0 else { return [] }
        let percentiles = [("p50", 50), ("p90", 90), ("p99", 99), ("p99_9", 99.9)]
        let values =
            [("min", Double(latency.min)), ("mean", latency.mean)]
            + percentiles.map { ($0.0, Double(latency.valueAtPercentile($0.1))) }
            + [("max", Double(latency.max))]
        return values.map { name, nanoseconds in
            let title = name.map { $0 == "_" ? "." : String($0) }.joined()
            return ReportLine(
                key: "latency_\(name)_us", title: "latency \(title)",
                value: .number(nanoseconds / 1e3, decimals: 1), unit: "us")
        }
    }
}
