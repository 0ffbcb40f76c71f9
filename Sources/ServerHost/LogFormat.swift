internal import Logging

/// The format of log lines.
package enum LogFormat: String, CaseIterable, Sendable {
    /// `2026-11-23T03:12:45+0000 info serving a client connection=1 export="a"`
    case text
    /// An object with `time`, `level`, `message` and the metadata by name. All values are strings.
    case json
    /// `<6>serving a client connection=1 export="a"`: with the syslog priority, and without the time, which the
    /// journal adds. sd-daemon(3)
    case journal

    /// Returns one line with its newline, whatever characters the texts contain.
    func line(
        _ message: String, level: Logger.Level, time: String, metadata: Logger.Metadata
    ) -> String {
        let metadata = metadata.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") }
        switch self {
        case .text:
            return "\(time) \(level) \(Self.visible(message))\(Self.text(metadata))\n"
        case .journal:
            return "<\(level.priority)>\(Self.visible(message))\(Self.text(metadata))\n"
        case .json:
            let members = [("time", time), ("level", "\(level)"), ("message", message)] + metadata
            return "{"
                + members.map { "\(Self.quoted($0)):\(Self.quoted($1))" }
                .joined(separator: ",") + "}\n"
        }
    }

    private static func text(_ metadata: [(key: String, value: String)]) -> String {
        metadata.map { key, value in
            // Names that people choose may be anything, so they are always quoted. Other values only if necessary.
            let isPlain =
                key != "export" && key != "client" && !value.isEmpty
                && value.unicodeScalars.allSatisfy { $0 != " " && $0 != "\"" && $0 != "=" }
            return " \(key)=\(isPlain ? visible(value) : quoted(value))"
        }.joined()
    }

    /// Returns the text with control characters escaped.
    private static func visible(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else {
            return text
        }
        return text.unicodeScalars.reduce(into: "") { result, scalar in
            let isHidden = scalar.value < 0x20 || scalar.value == 0x7f
            result += isHidden ? escaped(scalar) : String(scalar)
        }
    }

    /// Returns the text as a JSON string.
    private static func quoted(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "\"") { result, scalar in
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f: result += escaped(scalar)
            default: result.unicodeScalars.append(scalar)
            }
        } + "\""
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}

extension Logger.Level {
    /// The priority of syslog(3).
    fileprivate var priority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}
