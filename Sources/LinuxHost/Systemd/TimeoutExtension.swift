internal import LinuxIO
internal import SystemPackage

/// Keeps the service manager from ending this process while it does long work before it is ready, or after a request to
/// stop. sd_notify(3), `EXTEND_TIMEOUT_USEC`
package final class TimeoutExtension: Sendable {
    private let over: OneShotEvent?
    /// The time in milliseconds by which each message extends the timeout, and after which the next one is sent.
    private static let extended = 30_000
    private static let interval = 10_000

    /// Extends the timeout until ``end()`` is called. Without a service manager it does nothing.
    ///
    /// - Parameter isWanted: asked before each further message, on another thread. Once it returns false, the timeout
    ///   is extended no more.
    package init(while isWanted: @escaping @Sendable () -> Bool = { true }) {
        over = NotifySocket.isThere ? try? OneShotEvent() : nil
        guard let over else { return }
        // On this thread: the message comes before those that follow it, such as `READY=1`.
        Self.extend()
        try? Thread(name: "extend-timeout") {
            while !over.wait(milliseconds: Self.interval), isWanted() { Self.extend() }
        }.detach()
    }

    private static func extend() {
        NotifySocket.send("EXTEND_TIMEOUT_USEC=\(extended * 1_000)")
    }

    /// Extends the timeout no more.
    package func end() { over?.signal() }
}
