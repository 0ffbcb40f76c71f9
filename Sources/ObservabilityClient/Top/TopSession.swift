internal import ProgramSupport
internal import Observability
internal import LinuxHost
internal import LinuxIO
internal import Synchronization
internal import SystemPackage

/// How `top` was asked to look.
package struct TopConfiguration: Sendable {
    package var client: ControlClient
    package var intervalMilliseconds: Int
    package var isDecimal: Bool
    package var isColoured: Bool

    package init(
        client: ControlClient, intervalMilliseconds: Int, isDecimal: Bool, isColoured: Bool
    ) {
        self.client = client
        self.intervalMilliseconds = intervalMilliseconds
        self.isDecimal = isDecimal
        self.isColoured = isColoured
    }
}

/// What signals tell the session; safe from any thread.
package final class TopSignals: Sendable {
    private let stopped = Atomic<Bool>(false)
    private let changed = Atomic<Bool>(false)

    package init() {}

    /// The session has to end.
    package func stop() { stopped.store(true, ordering: .releasing) }
    /// The terminal has another size, or the process goes on after it was stopped.
    package func change() { changed.store(true, ordering: .releasing) }

    /// Whether it has to end.
    package var isStopped: Bool { stopped.load(ordering: .acquiring) }
    /// Whether something has changed since this was asked last.
    package func takeChange() -> Bool { changed.exchange(false, ordering: .acquiringAndReleasing) }
}

/// `top`, on a thread that may block.
package struct TopSession {
    private let plan: TopConfiguration
    private let signals: TopSignals
    private var model = TopModel()

    package init(_ plan: TopConfiguration, signals: TopSignals) {
        self.plan = plan
        self.signals = signals
        model.isDecimal = plan.isDecimal
    }

    private var interval: Double { Double(plan.intervalMilliseconds) / 1000 }
    private var isStopped: Bool { signals.isStopped }

    private func look() throws -> Stats { try plan.client.get("/stats", as: Stats.self) }

    /// One picture of one interval, as text.
    package mutating func printOnce() throws {
        model.take(try look())
        wait(until: .now().adding(milliseconds: plan.intervalMilliseconds))
        model.take(try look())
        let size = Terminal.Size(columns: Terminal.size.columns, rows: .max)
        let screen = TopScreen(model: model, size: size, interval: interval, hasKeys: false)
        for line in screen.lines {
            let text = line.text(coloured: plan.isColoured, limit: size.columns)
            standardOutput(text.withoutTrailingSpaces + "\n")
        }
    }

    /// A line every interval, until a signal or the reader ends it.
    package mutating func printLines() throws {
        let output = try OutputFile(standardOutput: ())
        var count = 0
        var next = MonotonicTime.now()
        while !isStopped {
            model.take(try look())
            if let line = TopLine.line(model) {
                do throws(Errno) {
                    try output.write((count % 20 == 0 ? TopLine.header + "\n" : "") + line + "\n")
                } catch {
                    // Who reads has seen enough.
                    guard error != .brokenPipe else { return }
                    throw Failure.inputOutput("cannot write to standard output: \(error)")
                }
                count += 1
            }
            next = next.adding(milliseconds: plan.intervalMilliseconds)
            wait(until: next)
        }
    }

    /// In steps, so that a signal is heard.
    private func wait(until end: MonotonicTime) {
        while MonotonicTime.now() < end, !isStopped {
            min(end, MonotonicTime.now().adding(milliseconds: 50)).sleep()
        }
    }

    /// The picture, until somebody quits.
    package mutating func show() throws {
        model.take(try look())
        while try showUntilSuspended() {
            // The terminal is as it was; this comes back when the shell says so.
            Terminal.suspendProcess()
        }
    }

    /// Answers whether it is only for a while that the terminal is given back.
    private mutating func showUntilSuspended() throws -> Bool {
        let display = try TopDisplay()
        var next = MonotonicTime.now().adding(milliseconds: plan.intervalMilliseconds)
        draw(display)
        while !isStopped {
            let left = next.milliseconds(from: .now())
            guard let keys = display.readKeys(milliseconds: min(left, 100)) else { return false }
            for key in keys {
                switch obey(key) {
                case .goOn: break
                case .suspend: return true
                case .quit: return false
                }
            }
            let isTime = next.milliseconds(from: .now()) == 0
            if isTime {
                model.take(try look())
                // Should a look have taken long, those that were missed are not made up for.
                next = max(next.adding(milliseconds: plan.intervalMilliseconds), .now())
            }
            if signals.takeChange() || isTime || !keys.isEmpty { draw(display) }
        }
        return false
    }

    private func draw(_ display: borrowing TopDisplay) {
        let size = Terminal.size
        let screen = TopScreen(model: model, size: size, interval: interval)
        display.show(screen.lines, size: size, coloured: plan.isColoured)
    }

    private enum Wish { case goOn, suspend, quit }

    private mutating func obey(_ key: UInt8) -> Wish {
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
        return .goOn
    }
}
