internal import CLinux
internal import Glibc
public import SystemPackage

/// A listening TCP or Unix socket. When it closes, it removes the Unix socket's file that it has made.
public final class Listener: Sendable {
    /// The address on which it listens, with the actual port where port 0 was requested.
    public let address: SocketAddress
    /// The file of the Unix socket that this listener has made; nil for any other socket.
    public let file: SocketFile?
    /// Whether another process has opened the socket and passed it to this one.
    public let isPassed: Bool
    private let descriptor: Descriptor

    /// The most connections that wait to be accepted; the kernel caps it (`net.core.somaxconn`).
    private static var backlog: CInt { 4096 }

    /// The owner and the mode of a Unix socket's file. The kernel's default remains for a value that is nil.
    public struct FileAccess: Sendable, Hashable {
        /// The user who owns the file.
        public var uid: UInt32?
        /// The group of the file.
        public var gid: UInt32?
        /// The permissions, up to 0o777. A process that may write to the file may connect.
        public var mode: UInt32?

        /// Sets the values that are not nil.
        public init(uid: UInt32? = nil, gid: UInt32? = nil, mode: UInt32? = nil) {
            self.uid = uid
            self.gid = gid
            self.mode = mode
        }
    }

    /// Listens on a TCP address. An IPv6 socket accepts IPv6 only, so that both families can have the
    /// same port. bind(2), listen(2)
    public init(tcp address: SocketAddress) throws(Errno) {
        descriptor = try Descriptor.streamSocket(address.family)
        let socket = SocketHandle(rawValue: descriptor.rawValue)
        try socket.setOption(SOL_SOCKET, SO_REUSEADDR, 1)
        if address.family == AF_INET6 {
            try socket.setOption(CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1)
        }
        try checkedErrno(unsafe address.withAddress { unsafe bind(socket.rawValue, $0, $1) })
        try checkedErrno(listen(socket.rawValue, Self.backlog))
        try checked(clinux_set_blocking(socket.rawValue, 0))
        self.address = try SocketAddress.local(of: descriptor)
        file = nil
        isPassed = false
    }

    /// Listens on a Unix socket. Replaces a file that a dead process has left behind.
    ///
    /// The socket is made under a temporary name beside the path. It gets the path once it has its owner
    /// and its mode and listens: see ``SocketFile/init(moving:to:)``.
    ///
    /// - Throws: `addressInUse` when a process listens there, or when the file is not a socket.
    public init(unix address: SocketAddress, access: FileAccess = FileAccess()) throws(Errno) {
        guard let path = address.path else { throw .invalidArgument }
        descriptor = try Descriptor.streamSocket(address.family)
        let socket = descriptor.rawValue
        let draft = try TemporarySocketFile(beside: path)
        try checkedErrno(unsafe draft.address.withAddress { unsafe bind(socket, $0, $1) })
        do throws(Errno) {
            if access != FileAccess() { try Self.apply(access, to: draft.path) }
            try checkedErrno(listen(socket, Self.backlog))
            try checked(clinux_set_blocking(socket, 0))
            file = try SocketFile(moving: draft, to: path)
        } catch {
            unsafe unlink(draft.path)
            throw error
        }
        self.address = address
        isPassed = false
    }

    /// Takes ownership of a socket that already listens, such as one from a service manager. A Unix
    /// socket's file stays when it closes.
    ///
    /// - Throws: `invalidArgument` for any other descriptor.
    public init(listening descriptor: consuming Descriptor) throws(Errno) {
        let socket = SocketHandle(rawValue: descriptor.rawValue)
        guard socket.option(SO_ACCEPTCONN) == 1,
            socket.option(SO_TYPE) == CInt(SOCK_STREAM.rawValue),
            let domain = socket.option(SO_DOMAIN), [AF_INET, AF_INET6, AF_UNIX].contains(domain)
        else { throw .invalidArgument }
        try checked(clinux_set_blocking(socket.rawValue, 0))
        try checkedErrno(fcntl(socket.rawValue, F_SETFD, FD_CLOEXEC))
        address = try SocketAddress.local(of: descriptor)
        file = nil
        isPassed = true
        self.descriptor = descriptor
    }

    deinit {
        file?.remove()
    }

    /// Accepts the next connection. accept4(2)
    ///
    /// - Throws: `wouldBlock` when there is none. That can happen after ``poll(_:or:milliseconds:)`` has
    ///   reported one: the client has disconnected, or another process has accepted it.
    public func accept() throws(Errno) -> StreamSocket {
        StreamSocket(Descriptor(adopting: try checked(clinux_accept(descriptor.rawValue))))
    }

    /// Waits until a listener has a connection, the event is signalled or the time is over, and returns the
    /// indices of the listeners that have a connection. poll(2)
    public static func poll(
        _ listeners: [Listener], or event: borrowing EventFD, milliseconds: Int? = nil
    ) throws(Errno) -> [Int] {
        let sources = listeners.map { PollSource.input(descriptor: $0.descriptor.rawValue) }
        let ready = try PollSource.poll(sources + [.event(event)], milliseconds: milliseconds)
        return listeners.indices.filter { ready[$0] }
    }

    /// The most listeners of one server. Each wait passes all of them to the kernel.
    public static var maximumCount: Int { 63 }

    private static func apply(_ access: FileAccess, to path: String) throws(Errno) {
        try checked(
            unsafe clinux_set_file_access(
                path, access.uid.map { Int64($0) } ?? -1, access.gid.map { Int64($0) } ?? -1,
                access.mode.map { Int64($0) } ?? -1))
    }
}
