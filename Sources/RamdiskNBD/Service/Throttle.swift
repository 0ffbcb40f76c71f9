// Log lines that others can cause as often as they like.

internal import Logging
internal import Synchronization

/// Writes the first line of a kind at once, and then one in ten seconds that says how many there were: a
/// crowd at the door must not fill the disk with what is told of it.
final class Throttle: Sendable {
    /// A line that may come again and again.
    struct Line: Sendable {
        /// Lines of one kind are counted together.
        var kind: String
        var level: Logger.Level
        var message: String
        var figures: Logger.Metadata
    }

    private struct Window {
        var last: Line
        var count = 0
    }

    private let logger: Logger
    private let interval: Duration
    private let windows = Mutex<[String: Window]>([:])

    init(logger: Logger, interval: Duration = .seconds(10)) {
        self.logger = logger
        self.interval = interval
    }

    /// Writes the line, or counts it.
    func log(_ line: Line) {
        let isFirst = windows.withLock { windows in
            guard windows[line.kind] != nil else {
                windows[line.kind] = Window(last: line)
                return true
            }
            windows[line.kind]?.last = line
            windows[line.kind]?.count += 1
            return false
        }
        guard isFirst else { return }
        write(line)
        Task { await watch(line.kind) }
    }

    /// Writes what has only been counted so far.
    func flush() {
        let left = windows.withLock { windows in
            defer { windows = [:] }
            return windows.values.filter { $0.count > 0 }
        }
        for window in left { write(window) }
    }

    /// Tells the count each time the interval is over, until there was none in it.
    private func watch(_ kind: String) async {
        while true {
            try? await Task.sleep(for: interval)
            let window = windows.withLock { windows -> Window? in
                guard let window = windows[kind], window.count > 0 else {
                    windows[kind] = nil
                    return nil
                }
                windows[kind]?.count = 0
                return window
            }
            guard let window else { return }
            write(window)
        }
    }

    /// The last of the lines that were counted, and how many they were.
    private func write(_ window: Window) {
        var line = window.last
        line.figures["times"] = "\(window.count)"
        write(line)
    }

    private func write(_ line: Line) {
        logger.log(level: line.level, "\(line.message)", metadata: line.figures)
    }
}
