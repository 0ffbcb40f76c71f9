public import CLinux
internal import Glibc
public import SystemPackage

/// What became of one receive or send. Nothing here is exceptional, so nothing is thrown.
@frozen public enum IOResult: Sendable, Equatable {
    /// So many bytes moved; at least one.
    case bytes(Int)
    /// Nothing moved, and waiting was not wanted.
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

    /// Takes over a connected stream socket.
    public init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    /// Two Unix sockets that are connected to each other. socketpair(2)
    public static func pair() throws(Errno) -> SocketPair {
        var first: CInt = -1
        var second: CInt = -1
        try checked(unsafe clinux_socket_pair(&first, &second))
        return SocketPair(
            first: StreamSocket(Descriptor(adopting: first)),
            second: StreamSocket(Descriptor(adopting: second)))
    }

    /// Gives the socket's number to a library that owns sockets itself, and will close it.
    public consuming func release() -> CInt { descriptor.release() }

    /// A way to use the socket without owning it; not to be used after this value is gone.
    public var handle: SocketHandle { SocketHandle(rawValue: descriptor.rawValue) }
}

/// What ``StreamSocket/pair()`` makes.
@frozen public struct SocketPair: ~Copyable, Sendable {
    /// One end.
    public var first: StreamSocket
    /// The other end.
    public var second: StreamSocket
}

/// What a socket is ready for.
@frozen public struct Readiness: OptionSet, Sendable, BitwiseCopyable {
    /// The shim's bits.
    public let rawValue: CInt
    /// From the shim's bits.
    public init(rawValue: CInt) { self.rawValue = rawValue }

    /// There is input, or the connection has ended.
    public static var input: Self { Self(rawValue: 1) }
    /// There is room to send.
    public static var output: Self { Self(rawValue: 2) }
}

/// A socket that somebody else owns and will close.
@frozen public struct SocketHandle: Sendable, BitwiseCopyable {
    @usableFromInline package let rawValue: CInt

    @inlinable
    package init(rawValue: CInt) { self.rawValue = rawValue }

    /// Receives what there is into the regions, in order; waits for the first byte if that is
    /// wanted. The list itself is not changed. recvmsg(2)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func receive(into list: borrowing VectorList, blocking: Bool) -> IOResult {
        // Sound: the list's entries from first to end are initialized, and their regions alive.
        IOResult(
            unsafe clinux_receive(
                rawValue, list.storage + list.first, list.end &- list.first, blocking ? 1 : 0))
    }

    /// Receives what there is into one region. recvmsg(2)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func receive(into region: MemoryRegion, blocking: Bool) -> IOResult {
        var vector = unsafe iovec(iov_base: region.base, iov_len: region.count)
        return IOResult(unsafe clinux_receive(rawValue, &vector, 1, blocking ? 1 : 0))
    }

    /// Sends from the regions, in order, and waits as long as the peer is not reading, unless that is
    /// not wanted. The list itself is not changed. sendmsg(2)
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public func send(_ list: borrowing VectorList, blocking: Bool = true) -> IOResult {
        // Sound: as above.
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

    /// Lends the descriptor to a library that does input and output by itself, such as TLS.
    public func withDescriptor<Result>(_ body: (CInt) -> Result) -> Result { body(rawValue) }

    /// Whether calls that say nothing about it wait, as they do at first. fcntl(2), `O_NONBLOCK`
    public func setBlocking(_ blocking: Bool) {
        // It can only fail for a descriptor that is none.
        _ = clinux_set_blocking(rawValue, blocking ? 1 : 0)
    }

    /// Waits for input, or the end of it, and says whether there is any before the time is over.
    /// poll(2)
    public func waitReadable(milliseconds: Int) throws(Errno) -> Bool {
        var mark: UInt8 = 0
        return try checked(
            unsafe clinux_wait_readable([rawValue], &mark, 1, CInt(clamping: milliseconds))) > 0
    }

    /// Which sockets of a group are shut down in both directions.
    public enum HangUps: Sendable {
        /// None.
        case none
        /// One or more, but not the caller's own.
        case others
        /// The caller's own.
        case own
    }

    /// What a group of sockets that threads share keeps of this one: never 0.
    public var groupSlot: UInt64 { UInt64(rawValue) + 1 }

    /// Looks at all sockets of a group at once, without waiting. `memory` holds a ``groupSlot`` or 0 in each
    /// of its first `count` words (at most 64), and `own` is the index of the caller's. poll(2)
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

    /// Waits for room to send, or the end, and says whether that comes before the time is over. poll(2)
    public func waitWritable(milliseconds: Int) throws(Errno) -> Bool {
        try checked(clinux_wait_writable(rawValue, CInt(clamping: milliseconds))) > 0
    }

    /// Waits for input (or the end of it) or for room to send, whichever comes first; neither when the
    /// time is over. poll(2)
    public func waitEither(milliseconds: Int) throws(Errno) -> Readiness {
        Readiness(
            rawValue: try checked(clinux_wait_either(rawValue, CInt(clamping: milliseconds))))
    }

    /// Lets no more in: what was received can still be read, then comes the end. shutdown(2)
    public func shutdownReceiving() {
        shutdown(rawValue, CInt(SHUT_RD))
    }

    /// Sends no more: the peer reads what is on its way, and then the end. shutdown(2)
    public func shutdownSending() {
        shutdown(rawValue, CInt(SHUT_WR))
    }

    /// Ends both directions; whoever waits on the socket wakes up. shutdown(2)
    public func shutdownBoth() {
        shutdown(rawValue, CInt(SHUT_RDWR))
    }

    /// Makes a send give up, with ``IOResult/wouldBlock``, when the peer reads nothing for so long; 0
    /// takes the limit away. socket(7), `SO_SNDTIMEO`
    public func setSendTimeout(milliseconds: Int) {
        setTimeout(SO_SNDTIMEO, milliseconds)
    }

    /// Makes a receive that waits give up, with ``IOResult/wouldBlock``, when nothing comes for so
    /// long; 0 takes the limit away. socket(7), `SO_RCVTIMEO`
    public func setReceiveTimeout(milliseconds: Int) {
        setTimeout(SO_RCVTIMEO, milliseconds)
    }

    /// Both of them.
    public func setStallTimeout(milliseconds: Int) {
        setSendTimeout(milliseconds: milliseconds)
        setReceiveTimeout(milliseconds: milliseconds)
    }

    /// The limit that ``setSendTimeout(milliseconds:)`` sets, or whoever else has the socket.
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

    /// Sends small replies at once instead of waiting for more. tcp(7), `TCP_NODELAY`; other
    /// kinds of socket do that anyway.
    public func disableDelay() {
        _ = clinux_set_option(rawValue, CInt(IPPROTO_TCP), TCP_NODELAY, 1)
    }

    /// Has the kernel ask after a peer that has been silent for so long, every so often, and end the
    /// connection when it does not answer so many times. tcp(7), `TCP_KEEPIDLE`; other kinds of socket
    /// know when their peer is gone.
    public func keepAlive(idleSeconds: Int, everySeconds: Int, times: Int) {
        _ = clinux_set_option(rawValue, SOL_SOCKET, SO_KEEPALIVE, 1)
        _ = clinux_set_option(rawValue, CInt(IPPROTO_TCP), TCP_KEEPIDLE, CInt(clamping: idleSeconds))
        _ = clinux_set_option(
            rawValue, CInt(IPPROTO_TCP), TCP_KEEPINTVL, CInt(clamping: everySeconds))
        _ = clinux_set_option(rawValue, CInt(IPPROTO_TCP), TCP_KEEPCNT, CInt(clamping: times))
    }

    /// Whether this is a Unix socket. socket(7), `SO_DOMAIN`
    public var isUnix: Bool {
        var domain: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        return unsafe getsockopt(rawValue, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0
            && domain == AF_UNIX
    }

    /// Asks for a send buffer of so many bytes; the kernel may give less. socket(7), `SO_SNDBUF`
    public func setSendBuffer(bytes: Int) {
        // As root, past the system's limit; else up to it.
        if clinux_set_option(rawValue, SOL_SOCKET, SO_SNDBUFFORCE, CInt(clamping: bytes)) < 0 {
            _ = clinux_set_option(rawValue, SOL_SOCKET, SO_SNDBUF, CInt(clamping: bytes))
        }
    }
}
