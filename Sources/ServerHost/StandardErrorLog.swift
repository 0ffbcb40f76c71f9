internal import Glibc
internal import LinuxIO
package import Logging
internal import ProgramSupport
internal import Synchronization

/// A log handler that writes each line to standard error with one system call.
package struct StandardErrorLog: LogHandler {
    package var logLevel = Logger.Level.info
    package var metadata: Logger.Metadata = [:]
    private let format: LogFormat

    package init(format: LogFormat = .text) { self.format = format }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let line = format.line(
            "\(event.message)", level: event.level, time: Self.timestamp(),
            metadata: metadata.merging(event.metadata ?? [:]) { $1 })
        let bytes = Array(line.utf8)
        // Errors are never held back.
        if event.level < .error, LogHold.keep(bytes) { return }
        Self.write(bytes)
    }

    fileprivate static func write(_ bytes: [UInt8]) {
        ProgressLine.clear()
        try? writeAll(bytes, to: STDERR_FILENO)
    }

    /// Whether standard error is the journal stream that systemd has opened for this process, and has not been
    /// redirected since. systemd.exec(5), `JOURNAL_STREAM`
    package static var leadsToJournal: Bool {
        guard let stream = unsafe getenv("JOURNAL_STREAM") else { return false }
        var status = stat()
        guard unsafe fstat(STDERR_FILENO, &status) == 0 else { return false }
        return unsafe String(cString: stream) == "\(status.st_dev):\(status.st_ino)"
    }

    /// Returns the local time as `2026-11-23T03:12:45+0000`.
    private static func timestamp() -> String {
        var now = time(nil)
        var parts = unsafe tm()
        unsafe localtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = unsafe strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S%z", &parts)
        return String(decoding: text.prefix(count).map(UInt8.init), as: UTF8.self)
    }
}

/// The log lines of a start, held back until it has succeeded. When the start fails, only the error is printed:
/// warnings about a server that does not run are noise. Errors are never held back.
package enum LogHold {
    private static let lines = Mutex<[[UInt8]]?>(nil)

    /// Holds lines back from now on, unless the level is debug or trace.
    package static func begin(_ logger: Logger) {
        guard logger.logLevel > .debug else { return }
        lines.withLock { $0 = [] }
    }

    /// Writes the lines that were held back, and holds no more.
    package static func end() {
        lines.withLock { lines in
            for line in lines ?? [] { StandardErrorLog.write(line) }
            lines = nil
        }
    }

    /// Holds a line back. Returns false when the caller must write it.
    fileprivate static func keep(_ line: [UInt8]) -> Bool {
        lines.withLock { lines in
            lines?.append(line)
            return lines != nil
        }
    }
}
