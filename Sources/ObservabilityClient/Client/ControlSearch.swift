package import ProgramSupport
internal import Observability
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// Looks where servers put their control sockets when they are told nothing else.
package struct ControlSearch {
    package var places = RuntimeDirectories()
    /// The device that the disk of a process is attached to; nil when it is attached to none.
    private let device: (Int32) -> String?

    package init(
        places: RuntimeDirectories = RuntimeDirectories(),
        device: @escaping (Int32) -> String? = { _ in nil }
    ) {
        self.places = places
        self.device = device
    }

    /// The socket of the server with this process number; nil when there is none in the directories.
    package func socket(of pid: Int32) -> String? {
        places.searched.map { ControlConfiguration.path(in: $0, of: pid) }.first(where: isAnswered)
    }

    /// The one server that is running.
    package func theOnlyServer() throws(Failure) -> String {
        let sockets = sockets
        switch sockets.count {
        case 1:
            return sockets[0]
        case 0:
            throw .unavailable(
                "no server of yours is running (there is none in "
                    + places.searched.joined(separator: ", ")
                    + "); if one is, give its socket with --control")
        default:
            let lines = sockets.map { "\n  \($0)\(what($0).map { " (\($0))" } ?? "")" }
            throw .usage(
                "there is more than one server; say which with --control:" + lines.joined())
        }
    }

    /// Sockets that a server answers at.
    package var sockets: [String] {
        places.searched.flatMap { directory in
            Directory.names(in: directory).filter { $0.hasSuffix(".control") }
                .map { "\(directory)/\($0)" }.filter(isAnswered)
        }
    }

    /// What the server at a socket serves, to tell it from others: its addresses, or its disks' names.
    private func what(_ socket: String) -> String? {
        guard let stats = try? ControlClient(path: socket).get("/stats", as: Stats.self) else {
            return nil
        }
        guard stats.server.addresses.isEmpty else {
            return stats.server.addresses.joined(separator: ", ")
        }
        if let device = device(stats.server.pid) { return device }
        return stats.disks.map { "export \"\($0.export)\"" }.joined(separator: ", ")
    }

    /// Whether somebody answers. A server that was killed leaves its file, which is removed here.
    private func isAnswered(_ path: String) -> Bool {
        guard let address = SocketAddress.unix(path: path) else { return false }
        do throws(Errno) {
            _ = try StreamSocket.connect(to: address)
            return true
        } catch {
            if error == .connectionRefused { removeLeftover(path) }
            return false
        }
    }

    /// Removes the socket of a process that is gone. Nothing is touched where others may write; and who
    /// refuses connections may be about to listen, as long as it is there.
    private func removeLeftover(_ path: String) {
        guard let slash = path.lastIndex(of: "/"), places.isOurs(String(path[..<slash])),
            let pid = Int32(path[path.index(after: slash)...].dropLast(".control".count)), pid > 0,
            ProcessIdentity(running: pid) == nil
        else { return }
        Directory.removeFile(path)
    }
}
