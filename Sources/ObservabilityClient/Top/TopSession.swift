internal import Glibc
package import ProgramSupport
internal import Observability
internal import LinuxHost
internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// The server that `top` monitors, and how it shows it.
package struct TopConfiguration: Sendable {
    var client: ControlClient
    var intervalMilliseconds: Int
    var isDecimal: Bool
    var isColoured: Bool

    package init(
        client: ControlClient, intervalMilliseconds: Int, isDecimal: Bool, isColoured: Bool
    ) {
        self.client = client
        self.intervalMilliseconds = intervalMilliseconds
        self.isDecimal = isDecimal
        self.isColoured = isColoured
    }
}

/// The signals that the process has received, as flags for the session. Any thread may use it.
package final class TopSignals: Sendable {
    private let stopped = Atomic<Bool>(false)
    private let changed = Atomic<Bool>(false)

    init() {}

    /// Starts a thread that receives the signals of this process.
    package static func received() throws(Failure) -> TopSignals {
        let signals = TopSignals()
        do throws(Errno) {
            try SignalWaiter([SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT]).handle { received in
                if received == SIGWINCH || received == SIGCONT {
                    signals.change()
                } else {
                    signals.stop()
                }
            }
        } catch {
            throw .system("cannot start a thread: \(error)")
        }
        return signals
    }

    /// Makes the session end.
    func stop() { stopped.store(true, ordering: .releasing) }
    /// Makes the session redraw, since the terminal was resized or the process was continued after
    /// a stop.
    func change() { changed.store(true, ordering: .releasing) }

    /// Whether the session must end.
    var isStopped: Bool { stopped.load(ordering: .acquiring) }
    /// Returns whether ``change()`` was called since the previous call of this function.
    func takeChange() -> Bool { changed.exchange(false, ordering: .acquiringAndReleasing) }
}

/// A run of `top`. It blocks its thread.
package struct TopSession {
    private let configuration: TopConfiguration
    private let signals: TopSignals
    private var model = TopModel()

    package init(_ configuration: TopConfiguration, signals: TopSignals) {
        self.configuration = configuration
        self.signals = signals
        model.isDecimal = configuration.isDecimal
    }

    private var interval: Double { Double(configuration.intervalMilliseconds) / 1000 }
    private var isStopped: Bool { signals.isStopped }

    private func fetchStats() throws -> Stats {
        try configuration.client.get("/stats", as: Stats.self)
    }

    /// Prints the view of one interval as text.
    package mutating func printOnce() throws {
        model.add(try fetchStats())
        wait(until: .now().adding(milliseconds: configuration.intervalMilliseconds))
        model.add(try fetchStats())
        let size = Terminal.Size(columns: Terminal.size.columns, rows: .max)
        let screen = TopScreen(model: model, size: size, interval: interval, hasKeys: false)
        for line in screen.lines {
            let text = line.text(coloured: configuration.isColoured, limit: size.columns)
            standardOutput(text.withoutTrailingSpaces + "\n")
        }
    }

    /// Prints a line for each interval until a signal arrives or the reader closes standard output.
    package mutating func printLines() throws {
        let output = try OutputFile(standardOutput: ())
        var count = 0
        var next = MonotonicTime.now()
        while !isStopped {
            model.add(try fetchStats())
            if let line = TopLine.line(model) {
                do throws(Errno) {
                    try output.write((count % 20 == 0 ? TopLine.header + "\n" : "") + line + "\n")
                } catch {
                    // The reader has closed standard output.
                    guard error != .brokenPipe else { return }
                    throw Failure.inputOutput("cannot write to standard output: \(error)")
                }
                count += 1
            }
            next = next.adding(milliseconds: configuration.intervalMilliseconds)
            wait(until: next)
        }
    }

    /// Sleeps in steps of 50 ms, so that a signal ends it soon.
    private func wait(until end: MonotonicTime) {
        while MonotonicTime.now() < end, !isStopped {
            min(end, MonotonicTime.now().adding(milliseconds: 50)).sleep()
        }
    }

    /// Shows the view until the user quits.
    package mutating func show() throws {
        model.add(try fetchStats())
        while try showUntilSuspended() {
            // The terminal is restored here. This call stops the process and returns when the shell
            // continues it.
            Terminal.suspendProcess()
        }
    }

    /// Shows the view until the user suspends or quits. Returns true when the user suspended.
    private mutating func showUntilSuspended() throws -> Bool {
        let display = try TopDisplay()
        var next = MonotonicTime.now().adding(milliseconds: configuration.intervalMilliseconds)
        draw(display)
        while !isStopped {
            let remaining = next.milliseconds(from: .now())
            guard let keys = display.readKeys(milliseconds: min(remaining, 100)) else {
                return false
            }
            for key in keys {
                switch handle(key) {
                case .proceed: break
                case .suspend: return true
                case .quit: return false
                }
            }
            let isTime = next.milliseconds(from: .now()) == 0
            if isTime {
                model.add(try fetchStats())
                // When fetching took longer than an interval, the intervals that passed are
                // skipped.
                next = max(next.adding(milliseconds: configuration.intervalMilliseconds), .now())
            }
            if signals.takeChange() || isTime || !keys.isEmpty { draw(display) }
        }
        return false
    }

    private func draw(_ display: borrowing TopDisplay) {
        let size = Terminal.size
        let screen = TopScreen(model: model, size: size, interval: interval)
        display.show(screen.lines, size: size, coloured: configuration.isColoured)
    }

    private enum KeyAction { case proceed, suspend, quit }

    private mutating func handle(_ key: UInt8) -> KeyAction {
        switch key {
        case UInt8(ascii: "s"): model.nextOrder()
        case UInt8(ascii: "d"): model.nextDisk()
        case UInt8(ascii: "u"): model.isDecimal.toggle()
        case UInt8(ascii: "p"), UInt8(ascii: " "): model.isPaused.toggle()
        // Ctrl-Z
        case 0x1A: return .suspend
        // Ctrl-C, Ctrl-D
        case UInt8(ascii: "q"), 3, 4: return .quit
        default: break
        }
        return .proceed
    }
}
