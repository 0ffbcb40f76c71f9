package import Observability

/// fio's text for what was done to files: fio(1), "TRACE FILE FORMAT".
package struct FioLog: TraceFormat {
    /// Version 3 has a time in microseconds before each action, version 2 has none.
    package let hasTimes: Bool
    package private(set) var leftOut: UInt64 = 0
    private var files: [String] = []
    private var lastMicroseconds: UInt64 = 0

    package init(hasTimes: Bool) { self.hasTimes = hasTimes }

    package mutating func begin(_ start: TraceStart) -> String {
        "fio version \(hasTimes ? 3 : 2) iolog\n"
    }

    package mutating func request(_ event: TraceEvent) -> String {
        // What failed then would fail again, and fio stops at the first failure.
        guard event.error == nil, let action = Self.action(event.command) else {
            leftOut += 1
            return ""
        }
        // Connections are not told in order of each other; fio's clock does not go back.
        lastMicroseconds = max(lastMicroseconds, event.timeNanoseconds / 1000)
        let file = Self.fileName(event.export)
        var text = ""
        if !files.contains(file) {
            files.append(file)
            text += line(file, "add") + line(file, "open")
        }
        let (offset, length) =
            event.command == .flush ? (0, 0) : (event.offset, event.lengthBytes)
        return text + line(file, "\(action) \(offset) \(length)")
    }

    /// The format has no comments.
    package mutating func lost(_ count: UInt64, at nanoseconds: UInt64) -> String { "" }

    package mutating func end() -> String { files.map { line($0, "close") }.joined() }

    private func line(_ file: String, _ action: String) -> String {
        (hasTimes ? "\(lastMicroseconds) " : "") + "\(file) \(action)\n"
    }

    /// A range of zeroes is what fio has no action for; a trim is as large and moves as little.
    private static func action(_ command: CommandName) -> String? {
        switch command {
        case .read: "read"
        case .write: "write"
        case .flush: "sync"
        case .trim, .writeZeroes: "trim"
        case .cache, .blockStatus, .disconnect, .unknown: nil
        }
    }

    /// One word of up to 256 characters is what fio reads; `--replay_redirect` puts another there.
    private static func fileName(_ export: String) -> String {
        guard !export.isEmpty else { return "ramdisk" }
        return String(export.prefix(255).map { $0.isWhitespace ? "_" : $0 })
    }
}
