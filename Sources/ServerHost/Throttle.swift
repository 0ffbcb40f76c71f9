internal import LinuxIO
package import Logging
internal import Synchronization
internal import SystemPackage

/// Writes the first line of a kind at once, and then one in ten seconds that says how many there were: a
/// crowd at the door must not fill the disk with what is told of it.
package final class Throttle: Sendable {
    /// A line that may come again and again.
    package struct Line: Sendable {
        /// Lines of one kind are counted together.
        package var kind: String
        package var level: Logger.Level
        package var message: String
        package var figures: Logger.Metadata
    }

    private struct Window {
        package var last: Line
        package var count = 0
    }

    private struct State {
        package var windows: [String: Window] = [:]
        /// Counts as long as there is something to count; nil before the first line.
        package var thread: Thread?
        package var isCounting = false
    }

    private let logger: Logger
    private let milliseconds: Int
    private let state = Mutex(State())

    package init(logger: Logger, milliseconds: Int = 10_000) {
        self.logger = logger
        self.milliseconds = milliseconds
    }

    /// Writes the line, or counts it.
    package func log(_ line: Line) {
        let isFirst = state.withLock { state in
            guard state.windows[line.kind] != nil else {
                if !state.isCounting { startCounting(&state) }
                // Without a thread nothing would ever be told of what is counted.
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
        // One that has nothing more to count is at its end.
        state.thread?.join()
        state.thread = try? Thread(name: "log") { self.count() }
        state.isCounting = state.thread != nil
    }

    /// Writes what has only been counted so far.
    package func flush() {
        for window in takeCounted() { write(window) }
    }

    /// Tells the counts each time the interval is over, until there is nothing left to count.
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

    /// Lines that were counted since the last time; kinds that did not come again are forgotten.
    private func takeCounted() -> [Window] {
        state.withLock { state in
            let counted = state.windows.filter { $0.value.count > 0 }
            state.windows = counted.mapValues { Window(last: $0.last) }
            return Array(counted.values)
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
