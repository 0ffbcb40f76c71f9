internal import LinuxIO

/// A connection's way in and out: its socket, or TLS on that.
///
/// It owns nothing: whoever serves the connection keeps what is behind it alive. Which of the two it is
/// costs one branch for each system call, always the same way. TLS in the kernel is a plain socket.
@safe struct Channel: BitwiseCopyable {
    /// The socket, for everything that is not about bytes.
    let socket: SocketHandle
    /// Unmanaged, so that a copy counts no references.
    private let tls: Unmanaged<TLSStream>?

    /// Bytes as they are.
    init(_ socket: SocketHandle) {
        self.socket = socket
        unsafe tls = nil
    }

    /// Encrypted bytes.
    init(_ socket: SocketHandle, tls: TLSStream) {
        self.socket = socket
        unsafe self.tls = Unmanaged.passUnretained(tls)
    }

    /// Receives what there is into the regions, in order; waits for the first byte if that is wanted.
    /// The list itself is not changed.
    @inline(__always)
    func receive(into list: borrowing VectorList, blocking: Bool) -> IOResult {
        if let tls = unsafe tls { return unsafe Self.receive(tls, list, blocking) }
        return socket.receive(into: list, blocking: blocking)
    }

    /// Receives what there is into one region.
    @inline(__always)
    func receive(into region: MemoryRegion, blocking: Bool) -> IOResult {
        if let tls = unsafe tls { return unsafe Self.receive(tls, region, blocking) }
        return socket.receive(into: region, blocking: blocking)
    }

    /// Sends from the regions, in order, and waits as long as the client is not reading, unless that
    /// is not wanted. The list itself is not changed.
    ///
    /// TLS always takes the whole list, and waits: in the handshake for as long as that may last.
    @inline(__always)
    func send(_ list: borrowing VectorList, blocking: Bool = true) -> IOResult {
        if let tls = unsafe tls { return unsafe Self.send(tls, list) }
        return socket.send(list, blocking: blocking)
    }

    // Not analysed: what the library does is its own affair. Out of line, so that plain connections
    // do not carry it with them.

    @_semantics("no_performance_analysis") @inline(never)
    private static func receive(
        _ tls: Unmanaged<TLSStream>, _ list: borrowing VectorList, _ blocking: Bool
    ) -> IOResult {
        unsafe tls.takeUnretainedValue().receive(into: list, blocking: blocking)
    }

    @_semantics("no_performance_analysis") @inline(never)
    private static func receive(
        _ tls: Unmanaged<TLSStream>, _ region: MemoryRegion, _ blocking: Bool
    ) -> IOResult {
        unsafe tls.takeUnretainedValue().receive(into: region, blocking: blocking)
    }

    @_semantics("no_performance_analysis") @inline(never)
    private static func send(
        _ tls: Unmanaged<TLSStream>, _ list: borrowing VectorList
    ) -> IOResult {
        unsafe tls.takeUnretainedValue().send(list)
    }
}
