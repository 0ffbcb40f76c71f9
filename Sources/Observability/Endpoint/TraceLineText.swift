internal import FoundationEssentials
internal import NBDProtocol
internal import NBDServer

/// An encoder of ``TraceLine/request(_:)`` lines.
///
/// It writes the JSON that `JSONEncoder` would write for a ``TraceEvent``, but directly: the server
/// encodes every traced request, and must keep up with its own connections.
struct TraceLineText {
    /// Start of the trace on `CLOCK_MONOTONIC`; times in the lines are relative to it.
    let startNanoseconds: UInt64
    /// The names of the exports as JSON strings, as far as they have occurred.
    private var exports: [String: String] = [:]

    init(startNanoseconds: UInt64) { self.startNanoseconds = startNanoseconds }

    private mutating func json(_ export: String) throws -> String {
        if let known = exports[export] { return known }
        let text = String(decoding: try JSONEncoder().encode(export), as: UTF8.self)
        exports[export] = text
        return text
    }

    /// Returns the line of a request, with its line feed.
    mutating func line(_ record: TraceRecord) throws -> String {
        let time =
            record.receivedNanoseconds > startNanoseconds
            ? record.receivedNanoseconds - startNanoseconds : 0
        var line = "{\"type\":\"request\",\"timeNanoseconds\":\(time)"
        line += ",\"connection\":\(record.connection),\"export\":\(try json(record.export))"
        line += ",\"command\":\"\(CommandName(record.command).rawValue)\""
        line += ",\"offset\":\(record.offset),\"lengthBytes\":\(record.length)"
        line += ",\"flags\":[\(Self.flags(record.flags))]"
        line += ",\"durationNanoseconds\":\(record.durationNanoseconds)"
        if record.error != .none { line += ",\"error\":\"\(record.error.name)\"" }
        return line + "}\n"
    }

    /// The names of the flags, by bit number (NBD specification, Command flags).
    private static let names = ["fua", "no_hole", "df", "req_one", "fast_zero", "payload_len"]

    private static func flags(_ flags: CommandFlags) -> String {
        if flags.rawValue == 0 { return "" }
        return (0..<16).filter { flags.rawValue & 1 << $0 != 0 }.map { bit in
            let name = bit < names.count ? names[bit] : "0x" + String(1 << bit, radix: 16)
            return "\"\(name)\""
        }.joined(separator: ",")
    }
}

extension CommandName {
    /// The name of a command of the protocol.
    init(_ command: Command) { self = Self(rawValue: command.name) ?? .unknown }
}
