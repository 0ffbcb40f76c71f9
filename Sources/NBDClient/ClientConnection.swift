package import LinuxIO
package import NBDProtocol

/// A connection to an NBD server that is ready for requests.
package final class ClientConnection: Sendable {
    private let socket: StreamSocket
    /// The export that the server serves on this connection.
    package let export: RemoteExport

    /// Performs the handshake over a connected socket, and disables Nagle's algorithm on it.
    package init(
        _ socket: consuming StreamSocket, export name: String, format: HeaderFormat = .simple,
        timeoutSeconds: Int = ClientHandshake.defaultTimeout
    ) throws(ClientHandshake.Failure) {
        let handle = socket.handle
        handle.disableDelay()
        export = try ClientHandshake.open(
            name, over: handle, format: format, timeoutSeconds: timeoutSeconds)
        self.socket = socket
    }

    /// The socket. Valid as long as this object lives.
    package var handle: SocketHandle { socket.handle }
}
