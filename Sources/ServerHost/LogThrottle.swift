internal import LinuxIO
internal import Logging
internal import Synchronization
internal import SystemPackage

/// Writes the first log line of a kind at once, and then one per ten seconds with the number of lines that it stands
/// for: many clients that connect in vain must not fill the log.
final class LogThrottle: Sendable {
    /// A log line that may occur often.
    struct Line: Sendable {
        /// Lines of the same kind are counted together.
        var kind: String
        var level: Logger.Level
        var message: String
        var metadata: Logger.Metadata
    }

    private struct Window {
        var last: Line
        var count = 0
    }

    private struct State {
        var windows: [String: Window] = [:]
        /// The thread that writes the counts. It ends when there is nothing to count; nil before the first line.
        var thread: Thread?
        var isCounting = false
    }

    private let logger: Logger
    private let milliseconds: Int
    private let state = Mutex(State())

    init(logger: Logger, milliseconds: Int = 10_000) {
        self.logger = logger
        self.milliseconds = milliseconds
    }

    /// Writes the line, or counts it.
    func log(_ line: Line) {
        let isFirst = state.withLock { state in
            guard state.windows[line.kind] != nil else {
                if !state.isCounting { startCounting(&state) }
                // Without a thread, nothing would ever write the counts.
                if state.isCounting { state.windows[line.kind] = Window(last: line) }
                return true
            }
            state.windows[line.kind]?.last = line
            state.windows[line.kind]?.count += 1
            return false
        }
        if isFirst { write(line) }
    }

    private func startCounting(_ state: inout State) {
        // A thread that has nothing more to count is about to end.
        state.thread?.join()
        state.thread = try? Thread(name: "log") { self.count() }
        state.isCounting = state.thread != nil
    }

    /// Writes the lines that have only been counted.
    func flush() {
        for window in takeCounted() { write(window) }
    }

    /// Writes the counts after each interval, until there is nothing left to count.
    private func count() {
        while true {
            Thread.sleep(milliseconds: milliseconds)
            let counted = takeCounted()
            for window in counted { write(window) }
            let isOver = state.withLock { state in
                state.isCounting = !state.windows.isEmpty
                return !state.isCounting
            }
            if isOver { return }
        }
    }

    /// Returns the lines counted since the last call. Forgets kinds that did not occur again.
    private func takeCounted() -> [Window] {
        state.withLock { state in
            let counted = state.windows.filter { $0.value.count > 0 }
            state.windows = counted.mapValues { Window(last: $0.last) }
            return Array(counted.values)
        }
    }

    /// Writes the last of the counted lines, with their number.
    private func write(_ window: Window) {
        var line = window.last
        line.metadata["times"] = "\(window.count)"
        write(line)
    }

    private func write(_ line: Line) {
        logger.log(level: line.level, "\(line.message)", metadata: line.metadata)
    }
}
