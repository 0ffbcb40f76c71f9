public import CLinux
internal import Glibc
public import SystemPackage

/// The result of one receive or send. Every case is ordinary, so nothing is thrown.
@frozen public enum IOResult: Sendable, Equatable {
    /// This many bytes were transferred, at least one.
    case bytes(Int)
    /// Nothing was transferred: a non-blocking call would have had to wait, or a blocking one timed out.
    case wouldBlock
    /// The peer has sent its last byte.
    case endOfStream
    /// The connection is broken.
    case failed(Errno)

    @inlinable @inline(__always)
    init(_ result: Int) {
        if result > 0 {
            self = .bytes(result)
        } else if result == 0 {
            self = .endOfStream
        } else if result == -Int(EAGAIN) {
            self = .wouldBlock
        } else {
            self = .failed(Errno(rawValue: CInt(-result)))
        }
    }
}

/// A connected stream socket and the duty to close it.
public struct StreamSocket: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Takes ownership of a connected stream socket.
    public init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    /// Returns two Unix sockets that are connected to each other. socketpair(2)
    public static func pair() throws(Errno) -> SocketPair {
        var ends: [CInt] = [-1, -1]
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        try checkedErrno(unsafe socketpair(AF_UNIX, type, 0, &ends))
        return SocketPair(
            first: StreamSocket(Descriptor(adopting: ends[0])),
            second: StreamSocket(Descriptor(adopting: ends[1])))
    }

    /// Connects to an address, and waits until the connection is accepted or refused. connect(2)
    ///
    /// - Parameter milliseconds: throws `timedOut` after this time; 0 for the system's own limit of some
    ///   minutes.
    public static func connect(
        to address: SocketAddress, milliseconds: Int = 0
    ) throws(Errno) -> StreamSocket {
        let descriptor = try Descriptor.streamSocket(address.family)
        let rawValue = descriptor.rawValue
        let socket = StreamSocket(descriptor)
        // On Linux the send timeout applies to connect(2), too.
        socket.handle.setSendTimeout(milliseconds: milliseconds)
        do throws(Errno) {
            try checkedErrno(unsafe address.withAddress { unsafe Glibc.connect(rawValue, $0, $1) })
        } catch {
            // connect(2) returns EAGAIN for a Unix socket whose backlog stays full.
            let isOver =
                error == .nowInProgress
                || (error == .resourceTemporarilyUnavailable && address.family == AF_UNIX)
            throw isOver ? .timedOut : error
        }
        socket.handle.setSendTimeout(milliseconds: 0)
        return socket
    }

    /// Transfers the duty to close the socket to the caller, such as a library that owns its sockets.
    public consuming func release() -> CInt { descriptor.release() }

    /// A way to use the socket without owning it. It must not outlive this value.
    public var handle: SocketHandle { SocketHandle(rawValue: descriptor.rawValue) }
}

extension Descriptor {
    /// Returns a new stream socket of an address family, closed on exec. socket(2)
    static func streamSocket(_ family: CInt) throws(Errno) -> Descriptor {
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        return Descriptor(adopting: try checkedErrno(socket(family, type, 0)))
    }
}

/// The two ends that ``StreamSocket/pair()`` returns.
@frozen public struct SocketPair: ~Copyable, Sendable {
    /// One end.
    public var first: StreamSocket
    /// The other end.
    public var second: StreamSocket
}

/// The operations for which a socket is ready.
@frozen public struct Readiness: OptionSet, Sendable, BitwiseCopyable {
    /// The bits of the set.
    public let rawValue: CInt
    /// A set of these bits.
    public init(rawValue: CInt) { self.rawValue = rawValue }

    /// There is input, or the connection has ended.
    public static var input: Self { Self(rawValue: 1) }
    /// There is room to send.
    public static var output: Self { Self(rawValue: 2) }
}

/// A way to use a socket that another value owns and will close.
@frozen public struct SocketHandle: Sendable, BitwiseCopyable {
    /// The descriptor.
    @usableFromInline package let rawValue: CInt

    @inlinable
    package init(rawValue: CInt) { self.rawValue = rawValue }

    // MARK: - Receiving and sending

    /// Receives into the regions, in order; a blocking call waits for the first byte. The list itself
    /// does not change. recvmsg(2)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func receive(into list: borrowing VectorList, blocking: Bool) -> IOResult {
        // Sound: the list's entries from first to end are initialized, and their regions valid.
        IOResult(
            unsafe clinux_receive(
                rawValue, list.storage + list.first, list.end &- list.first, blocking ? 1 : 0))
    }

    /// Receives into one region. recvmsg(2)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func receive(into region: MemoryRegion, blocking: Bool) -> IOResult {
        var vector = unsafe iovec(iov_base: region.base, iov_len: region.count)
        return IOResult(unsafe clinux_receive(rawValue, &vector, 1, blocking ? 1 : 0))
    }

    /// Sends from the regions, in order; a blocking call waits until the peer has made room. The list
    /// itself does not change. sendmsg(2)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func send(_ list: borrowing VectorList, blocking: Bool = true) -> IOResult {
        // Sound: as in receive(into:blocking:).
        IOResult(
            unsafe clinux_send(
                rawValue, list.storage + list.first, list.end &- list.first, blocking ? 1 : 0))
    }

    /// Sends from one region. sendmsg(2)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func send(_ region: MemoryRegion, blocking: Bool = true) -> IOResult {
        var vector = unsafe iovec(iov_base: region.base, iov_len: region.count)
        return IOResult(unsafe clinux_send(rawValue, &vector, 1, blocking ? 1 : 0))
    }

    /// Lends the descriptor to a library that does its own input and output, such as GnuTLS.
    public func withDescriptor<Result>(_ body: (CInt) -> Result) -> Result { body(rawValue) }

    /// Sets whether calls that do not choose themselves block, as they do at first. fcntl(2), `O_NONBLOCK`
    public func setBlocking(_ blocking: Bool) {
        // Fails only for a closed descriptor.
        _ = clinux_set_blocking(rawValue, blocking ? 1 : 0)
    }

    // MARK: - Waiting

    /// Waits for input or its end, and returns whether either came before the time was over. poll(2)
    public func waitReadable(milliseconds: Int) throws(Errno) -> Bool {
        try PollSource.poll(descriptor: rawValue, for: POLLIN, milliseconds: milliseconds) != 0
    }

    /// Waits for room to send or the end of the connection, and returns whether either came before the
    /// time was over. poll(2)
    public func waitWritable(milliseconds: Int) throws(Errno) -> Bool {
        try PollSource.poll(descriptor: rawValue, for: POLLOUT, milliseconds: milliseconds) != 0
    }

    /// Waits for input (or its end) or room to send, and returns what the socket is ready for; nothing
    /// when the time was over. poll(2)
    public func waitEither(milliseconds: Int) throws(Errno) -> Readiness {
        let events = try PollSource.poll(
            descriptor: rawValue, for: POLLIN | POLLOUT, milliseconds: milliseconds)
        var readiness: Readiness = []
        if events & (POLLIN | POLLHUP | POLLERR) != 0 { readiness.insert(.input) }
        if events & POLLOUT != 0 { readiness.insert(.output) }
        return readiness
    }

    /// The sockets of a group that are shut down in both directions.
    public enum HangUps: Sendable {
        /// None.
        case none
        /// One or more, but not the caller's own.
        case others
        /// The caller's own.
        case own
    }

    /// The word that stands for this socket in a group that threads share; never 0.
    public var groupSlot: UInt64 { UInt64(rawValue) + 1 }

    /// Polls all sockets of a group in one call that does not wait. `memory` holds a ``groupSlot`` or 0 in
    /// each of its first `count` words (at most 64), and `own` is the index of the caller's. poll(2)
    @_semantics("no_performance_analysis")
    public static func hangUps(in memory: MemoryRegion, count: Int, own: Int) -> HangUps {
        precondition(memory.count >= count * 8 && (0..<count).contains(own))
        // Sound: the words are within the region, and the shim reads them atomically.
        let state = unsafe memory.base.withMemoryRebound(to: UInt64.self, capacity: count) {
            words in
            unsafe clinux_hang_ups(words, count, own)
        }
        return state == 0 ? .none : state == 1 ? .others : .own
    }

    // MARK: - Shutting down

    /// Stops receiving: what has arrived can still be read, and then the stream ends. shutdown(2)
    public func shutdownReceiving() {
        shutdown(rawValue, CInt(SHUT_RD))
    }

    /// Stops sending: the peer reads what is on its way, and then the stream ends. shutdown(2)
    public func shutdownSending() {
        shutdown(rawValue, CInt(SHUT_WR))
    }

    /// Ends both directions, and wakes every thread that waits on the socket. shutdown(2)
    public func shutdownBoth() {
        shutdown(rawValue, CInt(SHUT_RDWR))
    }

    // MARK: - Options

    /// Limits how long a send waits while the peer reads nothing; it then returns
    /// ``IOResult/wouldBlock``. 0 removes the limit. socket(7), `SO_SNDTIMEO`
    public func setSendTimeout(milliseconds: Int) {
        setTimeout(SO_SNDTIMEO, milliseconds)
    }

    /// Limits how long a blocking receive waits; it then returns ``IOResult/wouldBlock``. 0 removes the
    /// limit. socket(7), `SO_RCVTIMEO`
    public func setReceiveTimeout(milliseconds: Int) {
        setTimeout(SO_RCVTIMEO, milliseconds)
    }

    /// Sets the timeouts of both directions.
    public func setStallTimeout(milliseconds: Int) {
        setSendTimeout(milliseconds: milliseconds)
        setReceiveTimeout(milliseconds: milliseconds)
    }

    /// The limit that ``setSendTimeout(milliseconds:)`` or another owner of the socket has set; 0 for none.
    public var sendTimeoutMilliseconds: Int {
        var time = timeval()
        var length = socklen_t(MemoryLayout<timeval>.size)
        guard unsafe getsockopt(rawValue, SOL_SOCKET, SO_SNDTIMEO, &time, &length) == 0 else {
            return 0
        }
        return time.tv_sec * 1000 + Int(time.tv_usec) / 1000
    }

    private func setTimeout(_ option: CInt, _ milliseconds: Int) {
        var time = timeval(
            tv_sec: milliseconds / 1000, tv_usec: suseconds_t(milliseconds % 1000 * 1000))
        _ = unsafe setsockopt(
            rawValue, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Sends small replies at once instead of waiting for more. tcp(7), `TCP_NODELAY`; other sockets do so
    /// anyway, and ignore this call.
    public func disableDelay() {
        try? setOption(CInt(IPPROTO_TCP), TCP_NODELAY, 1)
    }

    /// Asks the kernel to probe a peer that has been silent for `idleSeconds`, every `everySeconds`, and end the
    /// connection after `times` probes without a reply. tcp(7), `TCP_KEEPIDLE`; other sockets know when their peer has
    /// closed them.
    public func keepAlive(idleSeconds: Int, everySeconds: Int, times: Int) {
        let tcp = CInt(IPPROTO_TCP)
        try? setOption(SOL_SOCKET, SO_KEEPALIVE, 1)
        try? setOption(tcp, TCP_KEEPIDLE, CInt(clamping: idleSeconds))
        try? setOption(tcp, TCP_KEEPINTVL, CInt(clamping: everySeconds))
        try? setOption(tcp, TCP_KEEPCNT, CInt(clamping: times))
    }

    /// Asks the kernel to end the connection when the peer has not acknowledged data for a time, so that it delivers
    /// none later. tcp(7), `TCP_USER_TIMEOUT`; data in other sockets has arrived once it is sent.
    public func setDeliveryTimeout(milliseconds: Int) {
        try? setOption(CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, CInt(clamping: milliseconds))
    }

    /// Whether this is a Unix socket. socket(7), `SO_DOMAIN`
    public var isUnix: Bool { option(SO_DOMAIN) == AF_UNIX }

    /// The number of bytes that the socket has received and that no process has read, on whichever descriptor of it; 0
    /// when that is not known. ioctl(2), `FIONREAD`
    public var unreadBytes: Int { max(0, Int(clinux_unread_bytes(rawValue))) }

    /// Requests a send buffer of this size; the kernel may provide less. socket(7), `SO_SNDBUF`
    public func setSendBuffer(bytes: Int) {
        do {
            // Root may exceed the system's limit.
            try setOption(SOL_SOCKET, SO_SNDBUFFORCE, CInt(clamping: bytes))
        } catch {
            // The kernel reports twice what it was asked for. A larger buffer, which root has set, stays.
            guard (option(SO_SNDBUF) ?? 0) / 2 < bytes else { return }
            try? setOption(SOL_SOCKET, SO_SNDBUF, CInt(clamping: bytes))
        }
    }

    /// Returns the value of an option of the socket layer; nil when the socket has none. getsockopt(2)
    package func option(_ name: CInt) -> CInt? {
        var value: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        guard unsafe getsockopt(rawValue, SOL_SOCKET, name, &value, &length) == 0 else {
            return nil
        }
        return value
    }

    /// Sets an option. setsockopt(2)
    func setOption(_ level: CInt, _ name: CInt, _ value: CInt) throws(Errno) {
        var value = value
        try checkedErrno(
            unsafe setsockopt(
                rawValue, level, name, &value, socklen_t(MemoryLayout<CInt>.size)))
    }
}
