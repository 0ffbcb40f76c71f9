package import ProgramSupport
internal import FoundationEssentials
internal import Glibc
internal import LinuxIO
internal import SystemPackage

/// A client of one control socket. Each request uses its own connection.
package struct ControlClient: Sendable {
    /// The control socket's path.
    let path: String
    /// The option of the command line that names the server, for errors.
    private let option: String
    /// Time in milliseconds that a server may take to accept a connection, and to respond to a `GET` with anything but a
    /// stream.
    private let timeoutMilliseconds: Int

    package init(
        path: String, option: String = "--control",
        timeoutMilliseconds: Int = Self.usualTimeoutMilliseconds
    ) {
        self.path = path
        self.option = option
        self.timeoutMilliseconds = timeoutMilliseconds
    }

    /// The most bytes of a response other than a stream: hundreds of times those of a server with all of its
    /// connections.
    private static let bodyLimit = 64 << 20

    /// The timeout for users that wait for a response.
    package static let usualTimeoutMilliseconds = 5_000

    /// Sends a `GET`, blocks until the response is complete, and decodes its JSON.
    package func get<Value: Decodable>(_ target: String, as: Value.Type) throws -> Value {
        let stream = try open(target)
        stream.setReceiveTimeout(milliseconds: timeoutMilliseconds)
        return try decode(stream, of: target)
    }

    /// Sends a command to the server, waits for the response, and decodes its JSON.
    ///
    /// - Parameters:
    ///   - method: `GET`, `POST` or `DELETE`.
    ///   - parameters: the query; those that are nil are left out.
    /// - Throws: a ``Failure`` with the server's reason.
    package func perform<Value: Decodable>(
        _ method: String, _ path: String, _ parameters: [String: String?] = [:], as: Value.Type
    ) throws -> Value {
        try decode(open(Self.target(path, parameters), method: method), of: path)
    }

    /// Returns the target of a request for a resource. Parameters that are nil are left out.
    package static func target(_ path: String, _ parameters: [String: String?]) -> String {
        var target = URLComponents()
        target.path = path
        let items = parameters.compactMap { name, value in
            value.map { URLQueryItem(name: name, value: $0) }
        }
        if !items.isEmpty { target.queryItems = items }
        return target.string ?? path
    }

    /// Blocks until the response to a request is complete, and decodes its JSON.
    private func decode<Value: Decodable>(
        _ stream: ControlStream, of target: String
    ) throws -> Value {
        var body: [UInt8] = []
        while let piece = try stream.nextPiece() {
            body += piece
            guard body.count <= Self.bodyLimit else {
                throw Failure.protocolError(
                    "the response of the server at \(path) to \(target) is longer than "
                        + "\(Self.bodyLimit >> 20) MiB; give a server's control socket with \(option)"
                )
            }
        }
        do {
            return try JSONDecoder().decode(Value.self, from: Data(body))
        } catch {
            throw Failure.protocolError(
                "cannot decode the response of the server at \(path) to \(target); check that "
                    + "server and client have the same version (\(error))")
        }
    }

    /// Sends a request for a stream. Blocks until the connection is established, and not for the
    /// response.
    package func open(
        _ target: String, method: String = "GET"
    ) throws(Failure) -> ControlStream {
        guard let address = SocketAddress.unix(path: path) else {
            throw Failure.usage(
                "\(option) \(path) cannot be a socket: the path is longer than "
                    + "\(SocketAddress.longestPath) bytes; give a server's control socket or pid")
        }
        let socket: StreamSocket
        do throws(Errno) {
            socket = try StreamSocket.connect(
                to: address, milliseconds: timeoutMilliseconds)
        } catch {
            throw failure(error)
        }
        return try ControlStream(
            socket, path: path, option: option, method: method, target: target)
    }

    private static func isSocket(_ path: String) -> Bool {
        var status = Glibc.stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }

    private func failure(_ error: Errno) -> Failure {
        switch error {
        case .noSuchFileOrDirectory:
            .unavailable(
                "there is no control socket at \(path); give a server's control socket or pid with \(option)"
            )
        case .connectionRefused where !Self.isSocket(path):
            .usage(
                "\(path) is not a socket; give a server's control socket or pid with \(option)"
            )
        case .connectionRefused:
            .unavailable("no server listens on \(path): the one that created it has stopped")
        case .permissionDenied:
            .notPermitted(
                "the control socket \(path) belongs to another user: only the user who runs the "
                    + "server, and root, can connect")
        case .timedOut:
            .unavailable(
                "the server at \(path) does not accept connections; check whether it is stuck or stopped"
            )
        default:
            .unavailable("cannot connect to the control socket \(path): \(error)")
        }
    }
}
