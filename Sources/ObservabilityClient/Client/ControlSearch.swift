package import ProgramSupport
internal import Observability
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// A search for control sockets in the runtime directories, where servers put them by default.
package struct ControlSearch {
    var directories = RuntimeDirectories()
    /// The option of the command line that names a server, for errors.
    private let option: String
    /// Returns the device that the disk of a process is attached to; nil when there is none.
    private let device: (Int32) -> String?
    private let timeoutMilliseconds: Int
    /// The users whose servers are found; nil for all.
    private let users: Set<UInt32>?

    /// - Parameters:
    ///   - users: finds only servers of these users; nil for all.
    ///   - timeoutMilliseconds: how long a server may take to accept a connection.
    package init(
        directories: RuntimeDirectories = RuntimeDirectories(), option: String = "--control",
        users: Set<UInt32>? = nil,
        timeoutMilliseconds: Int = ControlClient.usualTimeoutMilliseconds,
        device: @escaping (Int32) -> String? = { _ in nil }
    ) {
        self.directories = directories
        self.option = option
        self.users = users
        self.timeoutMilliseconds = timeoutMilliseconds
        self.device = device
    }

    /// Returns the control socket of the server with this pid; nil when there is none in the
    /// directories.
    package func socket(of pid: Int32) -> String? {
        directories.searched.map { ControlConfiguration.path(in: $0, of: pid) }.first(
            where: hasListener)
    }

    /// Returns the control socket of the only running server. Throws when there is none, or
    /// several.
    package func theOnlyServer() throws(Failure) -> String {
        let sockets = sockets
        switch sockets.count {
        case 1:
            return sockets[0]
        case 0:
            throw .unavailable(
                "found no running server (searched "
                    + directories.searched.joined(separator: ", ")
                    + "); start one, or give its control socket with \(option)")
        default:
            let lines = sockets.map { "\n  \($0)\(summary(of: $0).map { " (\($0))" } ?? "")" }
            throw .usage(
                "more than one server is running; choose one with \(option):" + lines.joined())
        }
    }

    /// The control sockets on which a server listens.
    package var sockets: [String] {
        directories.searched.flatMap { directory in
            Directory.names(in: directory).filter { $0.hasSuffix(".control") }
                .map { "\(directory)/\($0)" }.filter { isOfUser($0) && hasListener($0) }
        }
    }

    private func isOfUser(_ socket: String) -> Bool {
        guard let users else { return true }
        guard let status = try? FileStatus.of(socket) else { return false }
        return users.contains(status.uid)
    }

    /// Returns what distinguishes the server at a socket from others: its addresses, its device, or
    /// the names of its exports.
    private func summary(of socket: String) -> String? {
        guard let stats = try? ControlClient(path: socket).get("/stats", as: Stats.self) else {
            return nil
        }
        guard stats.server.addresses.isEmpty else {
            return stats.server.addresses.joined(separator: ", ")
        }
        if let device = device(stats.server.pid) { return device }
        return stats.disks.map { "export \"\($0.export)\"" }.joined(separator: ", ")
    }

    /// Returns whether a server listens on a socket, also when it accepts no connection in time. A server that was
    /// killed leaves its socket file behind; this function removes such a file.
    package func hasListener(_ path: String) -> Bool {
        guard let address = SocketAddress.unix(path: path) else { return false }
        do throws(Errno) {
            _ = try StreamSocket.connect(to: address, milliseconds: timeoutMilliseconds)
            return true
        } catch {
            // The server accepts no more connections: it is stuck.
            if error == .timedOut { return true }
            if error == .connectionRefused { removeLeftover(path) }
            return false
        }
    }

    /// Returns the pid that names a control socket; nil when it has another name.
    package static func process(of socket: String) -> Int32? {
        guard let slash = socket.lastIndex(of: "/"), socket.hasSuffix(".control"),
            let pid = Int32(socket[socket.index(after: slash)...].dropLast(".control".count)),
            pid > 0
        else { return nil }
        return pid
    }

    /// Removes the socket file of a process that no longer exists. Leaves files alone in
    /// directories that other users can write to. Leaves the file of an existing process alone too:
    /// a process that refuses connections may be about to listen.
    private func removeLeftover(_ path: String) {
        guard let slash = path.lastIndex(of: "/"), directories.isOurs(String(path[..<slash])),
            let pid = Self.process(of: path), ProcessIdentity(running: pid) == nil
        else { return }
        Directory.removeFile(path)
    }
}
