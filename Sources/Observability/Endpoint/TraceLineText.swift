internal import NBDProtocol
internal import NBDServer

/// Writes ``TraceLine/request(_:)`` lines, as ``TraceEvent``'s own coding would.
struct TraceLineText {
    /// What times are counted from.
    let startNanoseconds: UInt64
    /// The exports' names as JSON, in the server's order.
    let exports: [String]

    /// The line, with its end.
    func line(_ record: TraceRecord) -> String {
        let time =
            record.receivedNanoseconds > startNanoseconds
            ? record.receivedNanoseconds - startNanoseconds : 0
        var line = "{\"type\":\"request\",\"timeNanoseconds\":\(time)"
        line += ",\"connection\":\(record.connection),\"export\":\(exports[record.export])"
        line += ",\"command\":\"\(CommandName(record.command).rawValue)\""
        line += ",\"offset\":\(record.offset),\"lengthBytes\":\(record.length)"
        line += ",\"flags\":[\(Self.flags(record.flags))]"
        line += ",\"durationNanoseconds\":\(record.durationNanoseconds)"
        if record.error != .none { line += ",\"error\":\"\(record.error.name)\"" }
        return line + "}\n"
    }

    /// The names of flags, by their bits (specification: "Command flags").
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
