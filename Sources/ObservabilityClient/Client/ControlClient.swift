internal import ProgramSupport
internal import FoundationEssentials
internal import Glibc
internal import LinuxIO
internal import SystemPackage

/// Asks one server. Every request has a connection of its own.
package struct ControlClient: Sendable {
    /// The control socket's path.
    package let path: String

    package init(path: String) {
        self.path = path
    }

    /// How long a server may think about an answer that is no stream.
    package static let patienceMilliseconds = 5_000

    /// `GET` of something that is answered at once, as what the JSON says. It blocks.
    package func get<Answer: Decodable>(_ target: String, as: Answer.Type) throws -> Answer {
        let stream = try open(target)
        stream.limitPatience(milliseconds: Self.patienceMilliseconds)
        var body: [UInt8] = []
        while let piece = try stream.nextPiece() { body += piece }
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(body))
        } catch {
            throw Failure.protocolError(
                "the server at \(path) answers \(target) with something else than figures; are "
                    + "both of one version? (\(error))")
        }
    }

    /// `GET` of something that goes on. It blocks until the connection is made and no longer.
    package func open(_ target: String) throws -> ControlStream {
        guard let address = SocketAddress.unix(path: path) else {
            throw Failure.usage(
                "--control \(path) is no path of a socket: those have up to "
                    + "\(SocketAddress.longestPath) bytes.")
        }
        let socket: StreamSocket
        do throws(Errno) {
            socket = try StreamSocket.connect(to: address)
        } catch {
            throw Self.failure(error, path)
        }
        return try ControlStream(socket, path: path, target: target)
    }

    private static func isSocket(_ path: String) -> Bool {
        var status = Glibc.stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }

    private static func failure(_ error: Errno, _ path: String) -> Failure {
        switch error {
        case .noSuchFileOrDirectory:
            .unavailable("there is no control socket at \(path); give a server's with --control")
        case .connectionRefused where !Self.isSocket(path):
            .usage(
                "\(path) is no socket: --control takes a server's control socket, or its process number"
            )
        case .connectionRefused:
            .unavailable("no server answers at \(path): the one that made it is gone")
        case .permissionDenied:
            .notPermitted(
                "the control socket \(path) is another user's: only who runs the server, and root, "
                    + "may use it")
        default:
            .unavailable("cannot connect to the control socket \(path): \(error)")
        }
    }
}
