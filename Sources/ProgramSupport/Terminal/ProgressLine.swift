internal import Glibc
internal import LinuxIO
internal import Synchronization

/// A line on a terminal that shows how far long work has come. On anything but a terminal it shows nothing.
package final class ProgressLine: Sendable {
    private let title: String
    /// Whether a line is on the terminal.
    private static let isVisible = Atomic<Bool>(false)
    private let next = Mutex<MonotonicTime>(.now())
    /// Milliseconds before the first line, as short work needs none, and between two.
    private static let interval = 200

    /// - Parameter title: what is being done: "restoring disk.img".
    package init(_ title: String) {
        self.title = title
        next.withLock { $0 = .now().adding(milliseconds: Self.interval) }
    }

    /// Shows how much is done. Any thread may call it, as often as it likes.
    package func show(_ done: UInt64, of total: UInt64) {
        next.withLock { next in
            guard next < .now() else { return }
            next = .now().adding(milliseconds: Self.interval)
            // Each time: a process that becomes a daemon loses its terminal.
            guard isatty(STDERR_FILENO) == 1 else { return }
            Self.isVisible.store(true, ordering: .relaxed)
            let percent = total == 0 ? 100 : Int(Double(done) / Double(total) * 100)
            let text =
                "\(title): \(percent) % (\(Units.bytes(Double(done))) of \(Units.bytes(Double(total))))"
            try? writeAll("\r\u{1b}[K\(text)", to: STDERR_FILENO)
        }
    }

    /// Removes the line.
    package func end() { Self.clear() }

    /// Removes the line that is on the terminal, if there is one, so that other text can follow.
    package static func clear() {
        guard isVisible.exchange(false, ordering: .relaxed) else { return }
        try? writeAll("\r\u{1b}[K", to: STDERR_FILENO)
    }
}
