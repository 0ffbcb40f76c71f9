/// What a trace is written to a file as.
package enum TraceFileFormat: String, CaseIterable, Sendable {
    /// fio's, with times (version 3, since fio 3.31).
    case iolog
    /// fio's without times, for older ones.
    case iolog2
    /// Chrome's trace events, which Perfetto opens.
    case chrome
    /// What the server says, a line of JSON each.
    case json
    /// What is shown in the terminal.
    case text

    /// By a file's name; nil when it says nothing.
    package init?(path: String) {
        let name = path.split(separator: "/").last ?? ""
        guard let dot = name.lastIndex(of: ".") else { return nil }
        switch name[name.index(after: dot)...].lowercased() {
        case "iolog", "fio": self = .iolog
        case "json", "trace", "perfetto": self = .chrome
        case "ndjson", "jsonl": self = .json
        case "txt", "text", "log": self = .text
        default: return nil
        }
    }
}
