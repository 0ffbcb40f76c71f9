// A connection that is ready for the kernel: connected, and its handshake done.

public import LinuxIO
public import NBDProtocol

/// The client's end of a connection to a server.
///
/// The kernel takes a reference of its own when it is attached. As long as this one is kept too, it
/// tells when the connection has died, on whichever side.
public final class NBDConnection: Sendable {
    private let socket: StreamSocket
    /// What the server has told of the export.
    public let export: RemoteExport

    /// Bytes of requests that a Unix socket takes before the server has read them: several of the
    /// kernel's largest, where memory is plentiful. Else a part of what the kernel keeps back, small enough
    /// for many queues: it sends to get memory back, may take the last there is for that, and gives up a
    /// connection when none is left. The kernel doubles what it is told, for its own needs.
    private static let unixSendBuffer =
        min(max(MemoryPressure.reserveBytes / 16, 64 << 10), 2 << 20) / 2

    /// Does the handshake over a socket.
    public init(
        _ socket: consuming StreamSocket, export name: String
    ) throws(ClientHandshake.Failure) {
        let handle = socket.handle
        handle.disableDelay()
        if handle.isUnix { handle.setSendBuffer(bytes: Self.unixSendBuffer) }
        export = try ClientHandshake.run(handle, export: name)
        self.socket = socket
    }

    /// The socket, for the kernel and for waiting.
    public var handle: SocketHandle { socket.handle }

    /// Whether the kernel has taken it for a device with a request timeout: that is what it makes the
    /// socket's send timeout then. It does not take one for which no dead one has to go.
    public var isAdopted: Bool { handle.sendTimeoutMilliseconds != 0 }

    /// Bytes of replies that the kernel has not read yet.
    public var unreadBytes: Int { handle.unreadBytes }

    /// Sends no more requests. The server replies to what it has received, and the kernel reads that, then the end.
    public func finish() { handle.shutdownSending() }

    /// Ends it for everybody.
    public func cut() { handle.shutdownBoth() }
}
