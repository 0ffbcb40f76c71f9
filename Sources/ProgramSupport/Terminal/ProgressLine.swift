internal import Glibc
internal import LinuxIO
internal import Synchronization

/// A line on a terminal that shows how far long work has come. On anything but a terminal it shows nothing.
package final class ProgressLine: Sendable {
    private let title: String
    private let isShown: Bool
    private let state = Mutex<(next: MonotonicTime, isWritten: Bool)>((.now(), false))
    /// Milliseconds before the first line, as short work needs none, and between two.
    private static let interval = 200

    /// - Parameter title: what is being done: "restoring disk.img".
    package init(_ title: String) {
        self.title = title
        isShown = isatty(STDERR_FILENO) == 1
        state.withLock { $0.next = .now().adding(milliseconds: Self.interval) }
    }

    /// Shows how much is done. Any thread may call it, as often as it likes.
    package func show(_ done: UInt64, of total: UInt64) {
        guard isShown else { return }
        state.withLock { state in
            guard state.next < .now() else { return }
            state.next = .now().adding(milliseconds: Self.interval)
            state.isWritten = true
            let percent = total == 0 ? 100 : Int(Double(done) / Double(total) * 100)
            let text =
                "\(title): \(percent) % (\(Units.bytes(Double(done))) of \(Units.bytes(Double(total))))"
            try? writeAll("\r\u{1b}[K\(text)", to: STDERR_FILENO)
        }
    }

    /// Removes the line.
    package func end() {
        state.withLock { state in
            if state.isWritten { try? writeAll("\r\u{1b}[K", to: STDERR_FILENO) }
            state.isWritten = false
        }
    }
}
