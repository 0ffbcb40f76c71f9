internal import LinuxIO
public import NBDProtocol
public import SystemPackage

/// A server somewhere, and the export that is wanted of it.
public struct RemoteServer: Sendable {
    /// Why it cannot be used; its description is one sentence for people.
    public enum Failure: Error, Sendable, CustomStringConvertible {
        /// The URI wants TLS.
        case tls(NBDURI)
        /// There is no such host, or no such path.
        case address(String)
        /// Nobody answers.
        case unreachable(NBDURI, Errno)
        /// Somebody answers, but the handshake led to nothing.
        case handshake(NBDURI, ClientHandshake.Failure)

        /// What is wrong, and what to do.
        public var description: String {
            switch self {
            case .tls(let uri):
                "\(uri) wants TLS, which the kernel's nbd driver cannot speak: "
                    + "use nbd:// or nbd+unix://"
            case .address(let reason): reason
            case .unreachable(let uri, let error):
                "cannot connect to \(uri): \(error); is its server running?"
            case .handshake(let uri, let failure): "cannot use \(uri): \(failure)"
            }
        }
    }

    /// Milliseconds for a host to take a connection.
    private static var connectMilliseconds: Int { 5_000 }

    private let uri: NBDURI
    private let addresses: [SocketAddress]

    /// Looks the server up.
    public init(_ uri: NBDURI) throws(Failure) {
        guard !uri.requiresTLS else { throw .tls(uri) }
        self.uri = uri
        switch uri.transport {
        case .tcp(let host, let port):
            do throws(SocketAddress.LookupError) {
                addresses = try SocketAddress.resolve(host: host, port: port)
            } catch {
                throw .address("\(error)")
            }
        case .unix(let path):
            guard let address = SocketAddress.unix(path: path) else {
                throw .address("\(path) is no path for a Unix socket")
            }
            addresses = [address]
        }
    }

    /// Connects once and does the handshake.
    public func connect() throws(Failure) -> NBDConnection {
        var lastError = Errno.connectionRefused
        for address in addresses {
            let socket: StreamSocket
            do throws(Errno) {
                socket = try StreamSocket.connect(
                    to: address, milliseconds: Self.connectMilliseconds)
            } catch {
                lastError = error
                continue
            }
            do throws(ClientHandshake.Failure) {
                return try NBDConnection(socket, export: uri.exportName)
            } catch {
                throw .handshake(uri, error)
            }
        }
        throw .unreachable(uri, lastError)
    }
}
