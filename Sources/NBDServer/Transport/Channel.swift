internal import LinuxIO

/// The means by which a connection receives and sends: its socket, or TLS on top of it.
///
/// It owns nothing; ``Connection`` keeps the socket and the TLS stream alive. The choice between the two costs one
/// branch for each system call, which goes the same way for as long as the connection lives. With kernel TLS
/// the channel is a plain socket.
@safe struct Channel: BitwiseCopyable {
    /// The socket, for everything but receiving and sending.
    let socket: SocketHandle
    /// Unmanaged, so that a copy counts no references.
    private let tls: Unmanaged<TLSStream>?

    /// A channel without encryption.
    init(_ socket: SocketHandle) {
        self.socket = socket
        unsafe tls = nil
    }

    /// A channel with TLS in user space.
    init(_ socket: SocketHandle, tls: TLSStream) {
        self.socket = socket
        unsafe self.tls = Unmanaged.passUnretained(tls)
    }

    /// Receives what is there into the regions, in order; with `wait`, sleeps until the first byte arrives. Does not
    /// change the list.
    @inline(__always)
    func receive(into list: borrowing VectorList, blocking: Bool) -> IOResult {
        if let tls = unsafe tls { return unsafe Self.receive(tls, list, blocking) }
        return socket.receive(into: list, blocking: blocking)
    }

    /// Receives what is there into one region.
    @inline(__always)
    func receive(into region: MemoryRegion, blocking: Bool) -> IOResult {
        if let tls = unsafe tls { return unsafe Self.receive(tls, region, blocking) }
        return socket.receive(into: region, blocking: blocking)
    }

    /// Sends from the regions, in order; with `wait`, sleeps while the client does not read. Does not change the
    /// list.
    ///
    /// TLS always sends the whole list and waits: in the handshake until its deadline.
    @inline(__always)
    func send(_ list: borrowing VectorList, blocking: Bool = true) -> IOResult {
        if let tls = unsafe tls { return unsafe Self.send(tls, list) }
        return socket.send(list, blocking: blocking)
    }

    // Not analysed, because GnuTLS may allocate. Not inlined, so that the code of plain connections stays small.

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
