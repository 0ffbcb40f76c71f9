internal import CLinux
internal import Glibc
internal import LinuxIO
package import SystemPackage

/// Signals that are blocked, and that a thread receives one after the other.
package struct SignalWaiter: Sendable {
    private let signals: [Int32]

    /// Blocks signals for the calling thread and the threads that it starts, so the program calls this
    /// before it starts others. A SIGHUP that the program was started to ignore, as by nohup(1), stays
    /// ignored. pthread_sigmask(3)
    package init(_ signals: [Int32]) {
        self.signals = signals.filter { $0 != SIGHUP || clinux_is_ignored($0) == 0 }
        unsafe clinux_block_signals(self.signals, self.signals.count)
    }

    /// Starts a thread that calls a function with each signal, as long as the process lives.
    /// sigwaitinfo(2)
    package func handle(_ body: @escaping @Sendable (Int32) -> Void) throws(Errno) {
        let signals = signals
        _ = try Thread(name: "signals") {
            while true {
                let signal = unsafe clinux_next_signal(signals, signals.count)
                if signal > 0 { body(signal) }
            }
        }
    }
}
