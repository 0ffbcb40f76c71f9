package import ProgramSupport
internal import Glibc
package import LinuxIO
package import Logging
internal import SystemPackage

/// The control socket and the metrics addresses that a server opens.
package struct ControlConfiguration: Sendable {
    /// The place of the control socket.
    package enum Socket: Sendable, Equatable {
        /// No control socket.
        case none
        /// A socket in the runtime directory, named after the pid of `process`.
        case standard
        /// A socket at this path.
        case at(String)
    }

    package var socket = Socket.standard
    /// TCP addresses that serve metrics alone.
    package var metrics: [ListenAddress] = []
    /// The directory of ``Socket/standard``.
    package var directory = RuntimeDirectories().control
    /// The pid that names the file of ``Socket/standard``.
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

    /// Opens the listeners, and logs the URL of each metrics address.
    package func open(logger: Logger) throws(Failure) -> (control: Listener?, metrics: [Listener]) {
        let metrics = try ListenConfiguration.open(metrics, option: "--metrics-listen")
        let control = try openSocket {
            logger.notice("no control socket was opened", metadata: ["reason": "\($0)"])
        }
        for address in metrics.map(\.address) {
            logger.notice("metrics at http://\(address)/metrics")
        }
        return (control, metrics)
    }

    /// Returns the path of a process's control socket in a directory, as ``Socket/standard`` has
    /// it.
    package static func path(in directory: String, of process: Int32) -> String {
        "\(directory)/\(process).control"
    }

    /// Opens the control socket. Returns nil when none is configured. Also returns nil when the
    /// socket is ``Socket/standard`` and cannot be opened: the user did not ask for it by name, and
    /// a server that cannot be monitored still serves.
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
                "cannot open the control socket \(path): the path is longer than "
                    + "\(SocketAddress.longestPath) bytes; give a shorter one with --control")
        }
        do throws(Errno) {
            return try Listener(unix: address, access: Listener.FileAccess(mode: 0o600))
        } catch .addressInUse {
            throw .unavailable(
                "cannot open the control socket \(path): another server listens there, or the file "
                    + "is not a socket; give another path with --control")
        } catch {
            throw .unavailable(
                "cannot open the control socket \(path): \(error); give another path with "
                    + "--control, or --no-control")
        }
    }
}
