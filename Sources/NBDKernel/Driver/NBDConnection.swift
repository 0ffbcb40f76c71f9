package import LinuxIO
package import NBDClient
package import NBDProtocol

/// The client's end of a connection that this process offers to the kernel.
///
/// The kernel takes its own reference to the socket when it adopts the connection. While this process
/// keeps its reference too, it can tell when the connection has died, at either end.
package final class NBDConnection: Sendable {
    private let connection: ClientConnection

    /// Send buffer of a Unix socket in bytes, as passed to setsockopt(2), which doubles it for the
    /// kernel's own needs.
    ///
    /// Where memory is plentiful, the buffer holds several of the kernel's largest requests. Otherwise
    /// it is a part of the kernel's memory reserve, small enough for many queues: the kernel sends to
    /// this server in order to free memory, may use the last of the reserve for that, and gives up a
    /// connection when nothing is left.
    private static let unixSendBuffer =
        min(max(MemoryPressure.reserveBytes / 16, 64 << 10), 2 << 20) / 2

    /// Performs the handshake over a connected socket.
    package init(
        _ socket: consuming StreamSocket, export name: String
    ) throws(ClientHandshake.Failure) {
        let handle = socket.handle
        if handle.isUnix { handle.setSendBuffer(bytes: Self.unixSendBuffer) }
        connection = try ClientConnection(socket, export: name)
    }

    /// The properties of the export that the server has sent.
    package var export: RemoteExport { connection.export }

    /// The socket, for the kernel and for waiting.
    package var handle: SocketHandle { connection.handle }

    /// Whether the kernel has adopted the connection for a device with a request timeout. The kernel
    /// then sets the socket's send timeout to the request timeout. It does not adopt a connection
    /// unless it replaces a dead one.
    package var isAdopted: Bool { handle.sendTimeoutMilliseconds != 0 }

    /// The number of bytes of replies that the kernel has not read yet.
    package var unreadBytes: Int { handle.unreadBytes }

    /// Stops sending. The server replies to what it has received; the kernel reads these replies, then the end.
    package func finish() { handle.shutdownSending() }

    /// Shuts the connection down for all its users: the server, the kernel and this process.
    package func cut() { handle.shutdownBoth() }
}

extension RemoteServer {
    /// Connects and performs the handshake, so that the kernel can adopt the connection.
    package func connectForKernel() throws(Failure) -> NBDConnection {
        let socket = try connect()
        do throws(ClientHandshake.Failure) {
            return try NBDConnection(socket, export: uri.exportName)
        } catch {
            throw .handshake(uri, error)
        }
    }
}
