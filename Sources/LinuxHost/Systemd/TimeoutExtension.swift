internal import LinuxIO
internal import SystemPackage

/// Keeps the service manager from ending this process while it does long work after a request to stop.
/// sd_notify(3), `EXTEND_TIMEOUT_USEC`
package final class TimeoutExtension: Sendable {
    private let over: OneShotEvent?
    /// Milliseconds for which each message extends the timeout, and after which the next one is sent.
    private static let extended = 30_000
    private static let interval = 10_000

    /// Extends the timeout until ``end()`` is called. Without a service manager it does nothing.
    package init() {
        over = NotifySocket.isThere ? try? OneShotEvent() : nil
        guard let over else { return }
        try? Thread(name: "extend-timeout") {
            repeat {
                NotifySocket.send("EXTEND_TIMEOUT_USEC=\(Self.extended * 1_000)")
            } while !over.wait(milliseconds: Self.interval)
        }.detach()
    }

    /// Extends the timeout no more.
    package func end() { over?.signal() }
}
