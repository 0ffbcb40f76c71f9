import LinuxIO
import Logging
import Synchronization
import Testing

@testable import ServerHost

@Suite("A log line that many clients cause")
struct LogThrottleTests {
    private let log = RecordedLog()

    /// A log that keeps its lines.
    private final class RecordedLog: Sendable {
        private let state = Mutex<[String]>([])

        /// The lines: level, message and, if it is there, the number of lines that one stands for.
        var lines: [String] { state.withLock { $0 } }

        func append(_ line: String) { state.withLock { $0.append(line) } }

        var logger: Logger { Logger(label: "test") { _ in Handler(record: self) } }
    }

    private struct Handler: LogHandler {
        let record: RecordedLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let times = event.metadata?["times"].map { " x\($0)" } ?? ""
            record.append("\(event.level) \(event.message)\(times)")
        }
    }

    /// Milliseconds that no test takes.
    private static let never = 600_000

    private func line(_ kind: String, _ message: String) -> LogThrottle.Line {
        LogThrottle.Line(kind: kind, level: .warning, message: message, metadata: [:])
    }

    /// Waits for up to 30 s until a condition holds.
    private func eventually(_ condition: () -> Bool) -> Bool {
        let deadline = MonotonicTime.now().adding(milliseconds: 30_000)
        while .now() < deadline {
            if condition() { return true }
            Thread.sleep(milliseconds: 10)
        }
        return false
    }

    @Test("is written at once, and then counted for each kind")
    func first() {
        let throttle = LogThrottle(logger: log.logger, milliseconds: Self.never)
        throttle.log(line("full", "one"))
        throttle.log(line("full", "two"))
        throttle.log(line("tls", "three"))
        throttle.log(line("full", "four"))
        #expect(log.lines == ["warning one", "warning three"])
        throttle.flush()
        #expect(log.lines == ["warning one", "warning three", "warning four x2"])
        throttle.flush()
        #expect(log.lines.count == 3)
    }

    @Test("is written with its count after each interval in which it has occurred")
    func interval() {
        // Longer than this thread is ever kept from running.
        let throttle = LogThrottle(logger: log.logger, milliseconds: 5_000)
        for number in 1...4 { throttle.log(line("full", "\(number)")) }
        #expect(log.lines == ["warning 1"])
        #expect(eventually { log.lines == ["warning 1", "warning 4 x3"] })
    }

    @Test("is written at once again after an interval without it")
    func forgotten() {
        let throttle = LogThrottle(logger: log.logger, milliseconds: 20)
        throttle.log(line("full", "again"))
        let isForgotten = eventually {
            Thread.sleep(milliseconds: 100)
            throttle.log(line("full", "again"))
            return log.lines.count { $0 == "warning again" } > 1
        }
        #expect(isForgotten)
    }
}
