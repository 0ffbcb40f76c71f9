// How bytes travel between a client and the code that speaks NBD with it.

internal import LinuxIO

/// A connection's way in and out.
///
/// It owns nothing: whoever serves the connection keeps what is behind it alive.
struct Channel: BitwiseCopyable {
    /// The socket, for everything that is not about bytes.
    let socket: SocketHandle

    /// Bytes as they are.
    init(_ socket: SocketHandle) {
        self.socket = socket
    }

    /// Receives what there is into the regions, in order; waits for the first byte if that is wanted.
    /// The list itself is not changed.
    @inline(__always)
    func receive(into list: borrowing VectorList, wait: Bool) -> Transfer {
        socket.receive(into: list, wait: wait)
    }

    /// Receives what there is into one region.
    @inline(__always)
    func receive(into region: MemoryRegion, wait: Bool) -> Transfer {
        socket.receive(into: region, wait: wait)
    }

    /// Sends from the regions, in order, and waits as long as the client is not reading. The list
    /// itself is not changed.
    @inline(__always)
    func send(_ list: borrowing VectorList) -> Transfer {
        socket.send(list)
    }
}
