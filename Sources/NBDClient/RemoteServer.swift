package import LinuxIO
package import NBDProtocol
package import SystemPackage

/// An NBD server that a URI names, after its host name has been resolved.
package struct RemoteServer: Sendable {
    /// The reason why a server cannot be used. Its description is one sentence for an error message.
    package enum Failure: Error, Sendable, CustomStringConvertible {
        /// The URI requires TLS, which this client does not support.
        case tls(NBDURI)
        /// The host name cannot be resolved, or the path is not one of a Unix socket.
        case address(String)
        /// No address accepts the connection; the error of the last one.
        case unreachable(NBDURI, Errno)
        /// A server accepted the connection, but the handshake failed.
        case handshake(NBDURI, ClientHandshake.Failure)

        /// The problem, and what to do about it.
        package var description: String {
            switch self {
            case .tls(let uri):
                "\(uri) requires TLS, which this client does not support; "
                    + "use nbd:// or nbd+unix://"
            case .address(let reason): reason
            case .unreachable(let uri, let error):
                "cannot connect to \(uri): \(error); is its server running?"
            case .handshake(let uri, let failure): "cannot use \(uri): \(failure)"
            }
        }
    }

    /// Milliseconds that a host may take to accept a connection.
    private static var connectTimeout: Int { 5_000 }

    /// The address of the server, and the name of the export.
    package let uri: NBDURI
    /// The server's addresses, in the resolver's order.
    package let addresses: [SocketAddress]

    /// Resolves the host name of a URI.
    package init(_ uri: NBDURI) throws(Failure) {
        guard !uri.requiresTLS else { throw .tls(uri) }
        self.uri = uri
        addresses = try Self.addresses(of: uri.transport)
    }

    private static func addresses(
        of transport: NBDURI.Transport
    ) throws(Failure) -> [SocketAddress] {
        switch transport {
        case .tcp(let host, let port):
            do throws(SocketAddress.LookupError) {
                return try SocketAddress.resolve(host: host, port: port)
            } catch {
                throw .address("\(error)")
            }
        case .unix(let path):
            guard let address = SocketAddress.unix(path: path) else {
                throw .address(
                    "\"\(path)\" is not the path of a Unix socket: "
                        + "it may have 1 to \(SocketAddress.longestPath) bytes, and no NUL")
            }
            return [address]
        }
    }

    /// Connects to the first address that accepts, without a handshake.
    package func connect() throws(Failure) -> StreamSocket {
        var lastError = Errno.connectionRefused
        for address in addresses {
            do throws(Errno) {
                return try StreamSocket.connect(to: address, milliseconds: Self.connectTimeout)
            } catch {
                lastError = error
            }
        }
        throw .unreachable(uri, lastError)
    }

    /// Connects, and opens the export that the URI names. With a format other than simple, the server
    /// must support it.
    package func open(
        format: HeaderFormat = .simple, timeoutSeconds: Int = ClientHandshake.defaultTimeout
    ) throws(Failure) -> ClientConnection {
        let socket = try connect()
        do throws(ClientHandshake.Failure) {
            return try ClientConnection(
                socket, export: uri.exportName, format: format, timeoutSeconds: timeoutSeconds)
        } catch {
            throw .handshake(uri, error)
        }
    }

    /// Connects, and returns the server's list of exports.
    package func exports(
        timeoutSeconds: Int = ClientHandshake.defaultTimeout
    ) throws(Failure) -> [ExportListing] {
        let socket = try connect()
        do throws(ClientHandshake.Failure) {
            return try ClientHandshake.list(over: socket.handle, timeoutSeconds: timeoutSeconds)
        } catch {
            throw .handshake(uri, error)
        }
    }
}
