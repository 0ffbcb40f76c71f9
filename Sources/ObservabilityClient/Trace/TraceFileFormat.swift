/// The format of a trace file.
package enum TraceFileFormat: String, CaseIterable, Sendable {
    /// fio's I/O log with times (version 3, since fio 3.31).
    case iolog
    /// fio's I/O log without times (version 2), for older versions of fio.
    case iolog2
    /// Chrome's trace events, which Perfetto reads.
    case chrome
    /// The server's lines of JSON, unchanged.
    case json
    /// The lines that the terminal shows.
    case text

    /// Creates the format that the extension of a file name stands for; nil when it stands for
    /// none.
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
