internal import Observability

/// fio's I/O log (`fio(1)`, TRACE FILE FORMAT).
struct FioLog: TraceFormat {
    /// Whether each action has a time in microseconds before it, as in version 3. Version 2 has no
    /// times.
    let hasTimes: Bool
    private(set) var omitted: UInt64 = 0
    private var files: [String] = []
    private var lastMicroseconds: UInt64 = 0

    init(hasTimes: Bool) { self.hasTimes = hasTimes }

    mutating func begin(_ start: TraceStart) -> String {
        "fio version \(hasTimes ? 3 : 2) iolog\n"
    }

    mutating func request(_ event: TraceEvent) -> String {
        // A request that failed would fail again on replay, and fio stops at the first failure.
        guard event.error == nil, let action = Self.action(event.command) else {
            omitted += 1
            return ""
        }
        // A trace does not order the requests of different connections by time, but fio requires
        // times that do not decrease.
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

    /// Returns nothing, since the format has no comments.
    mutating func lost(_ count: UInt64, at nanoseconds: UInt64) -> String { "" }

    mutating func end() -> String { files.map { line($0, "close") }.joined() }

    private func line(_ file: String, _ action: String) -> String {
        (hasTimes ? "\(lastMicroseconds) " : "") + "\(file) \(action)\n"
    }

    /// Returns fio's action for a command. fio has none that writes zeros; a trim has the same size
    /// and transfers as little data.
    private static func action(_ command: CommandName) -> String? {
        switch command {
        case .read: "read"
        case .write: "write"
        case .flush: "sync"
        case .trim, .writeZeroes: "trim"
        case .cache, .blockStatus, .disconnect, .unknown: nil
        }
    }

    /// Returns the name of an export as one word of up to 255 characters, since fio reads words of
    /// up to 256. `--replay_redirect` replaces it on replay.
    private static func fileName(_ export: String) -> String {
        guard !export.isEmpty else { return "ramdisk" }
        return String(export.prefix(255).map { $0.isWhitespace ? "_" : $0 })
    }
}
