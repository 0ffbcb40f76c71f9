// Finds the control socket of a server that nobody has named.

internal import FoundationEssentials
internal import LinuxIO
internal import SystemPackage

/// Where servers put their control sockets when they are told nothing else.
enum ControlSearch {
    /// The directories, the user's own first.
    static func directories(environment: [String: String]) -> [String] {
        let runtime = environment["XDG_RUNTIME_DIR"].flatMap { $0.isEmpty ? nil : $0 }
        return [runtime, "/run"].compactMap { $0 }.map { $0 + "/ramdisk-nbd" }
    }

    /// The socket of the server with this process number; nil when there is none in the directories.
    static func socket(of pid: Int32) -> String? {
        directories(environment: ProcessInfo.processInfo.environment)
            .map { ControlPlan.path(in: $0, of: pid) }.first(where: isAnswered)
    }

    /// The one server that is running.
    static func theOnlyServer() throws(Failure) -> String {
        let directories = directories(environment: ProcessInfo.processInfo.environment)
        let sockets = directories.flatMap(sockets(in:))
        switch sockets.count {
        case 1:
            return sockets[0]
        case 0:
            throw .unavailable(
                "no server of yours is running (there is none in \(directories.joined(separator: " or "))"
                    + "); if one is, give its socket with --control")
        default:
            throw .usage(
                "there is more than one server; say which with --control: "
                    + sockets.joined(separator: ", "))
        }
    }

    /// Sockets in a directory that somebody answers at: a server that was killed leaves its file.
    private static func sockets(in directory: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.sorted().filter { $0.hasSuffix(".control") }
            .map { "\(directory)/\($0)" }.filter(isAnswered)
    }

    private static func isAnswered(_ path: String) -> Bool {
        guard let address = SocketAddress.unix(path: path) else { return false }
        do throws(Errno) {
            _ = try StreamSocket.connect(to: address)
            return true
        } catch {
            return false
        }
    }
}
