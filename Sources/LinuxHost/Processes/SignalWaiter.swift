internal import LinuxIO
internal import CLinux
internal import Glibc
package import SystemPackage

/// Signals that do nothing by themselves any more and are taken one after the other.
package struct SignalWaiter: Sendable {
    private let signals: [Int32]

    /// Blocks these for the calling thread and those that it starts, so it is to be called before there
    /// are others. A SIGHUP that the program was started with to ignore, as nohup(1) does, stays
    /// ignored. pthread_sigmask(3)
    package init(_ signals: [Int32]) {
        self.signals = signals.filter { $0 != SIGHUP || clinux_is_ignored($0) == 0 }
        unsafe clinux_block_signals(self.signals, self.signals.count)
    }

    /// Starts a thread that hands over each one as it comes, for as long as the process lives.
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
