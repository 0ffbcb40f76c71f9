package import ProgramSupport
internal import Glibc
package import LinuxIO
package import Logging
internal import SystemPackage

/// The control socket and the metrics address that are wanted.
package struct ControlConfiguration: Sendable {
    /// Where the control socket is to be.
    package enum Socket: Sendable, Equatable {
        /// Nowhere.
        case none
        /// In the runtime directory, under a process's number.
        case standard
        /// At a path.
        case at(String)
    }

    package var socket = Socket.standard
    /// TCP addresses for metrics alone.
    package var metrics: [ListenAddress] = []
    /// Where sockets are that nobody has named.
    package var directory = RuntimeDirectories().control
    /// The process whose number such a socket is found under.
    package var process = CurrentProcess.pid

    package init(
        socket: Socket = Socket.standard, metrics: [ListenAddress] = [],
        directory: String = RuntimeDirectories().control, process: Int32 = CurrentProcess.pid
    ) {
        self.socket = socket
        self.metrics = metrics
        self.directory = directory
        self.process = process
    }

    /// Opens all of it, and tells where metrics are.
    package func open(logger: Logger) throws(Failure) -> (control: Listener?, metrics: [Listener]) {
        let metrics = try ListenConfiguration.open(metrics, option: "--metrics-listen")
        let control = try openSocket {
            logger.notice("there is no control socket", metadata: ["reason": "\($0)"])
        }
        for address in metrics.map(\.address) {
            logger.notice("metrics at http://\(address)/metrics")
        }
        return (control, metrics)
    }

    /// Where the control socket of a process is, unless it is told otherwise.
    package static func path(in directory: String, of process: Int32) -> String {
        "\(directory)/\(process).control"
    }

    /// Opens the control socket. Nil when none is wanted, or when nobody asked for it by name and the
    /// runtime directory cannot be used: a server that cannot be watched still serves.
    private func openSocket(onTrouble: (String) -> Void) throws(Failure) -> Listener? {
        switch socket {
        case .none: return nil
        case .at(let path): return try Self.listen(at: path)
        case .standard:
            do throws(Failure) {
                try RuntimeDirectories().make(directory)
                return try Self.listen(at: Self.path(in: directory, of: process))
            } catch {
                onTrouble(error.sentence)
                return nil
            }
        }
    }

    private static func listen(at path: String) throws(Failure) -> Listener {
        guard let address = SocketAddress.unix(path: path) else {
            throw .usage(
                "the control socket cannot be at \(path): a path has up to "
                    + "\(SocketAddress.longestPath) bytes; give another with --control")
        }
        do throws(Errno) {
            return try Listener(unix: address, access: Listener.FileAccess(mode: 0o600))
        } catch .addressInUse {
            throw .unavailable(
                "the control socket cannot be at \(path): another server answers there, or it is "
                    + "no socket; give another path with --control")
        } catch {
            throw .unavailable(
                "the control socket cannot be at \(path): \(error); give another path with "
                    + "--control, or --no-control")
        }
    }
}
