internal import CLinux
internal import Glibc
public import SystemPackage

/// A listening TCP or Unix socket. Closing it removes a Unix socket's file, if that is still ours.
public final class Listener: Sendable {
    /// Where it listens: the real port, also when port 0 was asked for.
    public let address: SocketAddress
    /// The file of a Unix socket of our own.
    public let file: SocketFile?
    /// Whether somebody else opened it.
    public let isPassed: Bool
    private let descriptor: Descriptor

    /// Connections that may wait to be accepted; the kernel caps it (`net.core.somaxconn`).
    private static var backlog: CInt { 4096 }

    /// Who may use a Unix socket's file: what is nil stays as it would be.
    public struct FileAccess: Sendable, Hashable {
        /// Number of the user that it is to belong to.
        public var uid: UInt32?
        /// Number of the group that it is to belong to.
        public var gid: UInt32?
        /// Permissions, up to 0o777. Whoever may write may connect.
        public var mode: UInt32?

        /// Nothing said, or what is said.
        public init(uid: UInt32? = nil, gid: UInt32? = nil, mode: UInt32? = nil) {
            self.uid = uid
            self.gid = gid
            self.mode = mode
        }
    }

    /// Listens on a TCP address. An IPv6 one takes IPv6 only, so that both families can have the
    /// same port. bind(2), listen(2)
    public init(tcp address: SocketAddress) throws(Errno) {
        descriptor = try Self.socket(for: address)
        let number = descriptor.rawValue
        try checked(clinux_set_option(number, SOL_SOCKET, SO_REUSEADDR, 1))
        if address.family == AF_INET6 {
            try checked(clinux_set_option(number, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1))
        }
        try checkedErrno(unsafe address.withAddress { unsafe bind(number, $0, $1) })
        try checkedErrno(listen(number, Self.backlog))
        try checked(clinux_make_listener(number))
        self.address = try SocketAddress.local(of: descriptor)
        file = nil
        isPassed = false
    }

    /// Listens on a Unix socket. A file left behind by a process that is gone is replaced; throws
    /// `addressInUse` when somebody answers there, or when the file is no socket.
    ///
    /// The socket is made under a name of its own beside the path, and gets the path when it has its
    /// owner and its mode and listens: see ``SocketFile/init(moving:to:)``.
    public init(unix address: SocketAddress, access: FileAccess = FileAccess()) throws(Errno) {
        guard let path = address.path else { throw .invalidArgument }
        descriptor = try Self.socket(for: address)
        let number = descriptor.rawValue
        let draft = try TemporarySocketFile(beside: path)
        try checkedErrno(unsafe draft.address.withAddress { unsafe bind(number, $0, $1) })
        do throws(Errno) {
            if access != FileAccess() { try Self.give(access, to: draft.path) }
            try checkedErrno(listen(number, Self.backlog))
            try checked(clinux_make_listener(number))
            file = try SocketFile(moving: draft, to: path)
        } catch {
            unsafe unlink(draft.path)
            throw error
        }
        self.address = address
        isPassed = false
    }

    /// Takes over a socket that listens already, as a service manager passes it. Closing it leaves a
    /// Unix socket's file where it is. Throws `invalidArgument` for any other descriptor.
    public init(listening descriptor: consuming Descriptor) throws(Errno) {
        let number = descriptor.rawValue
        guard Self.option(SO_ACCEPTCONN, of: number) == 1,
            Self.option(SO_TYPE, of: number) == CInt(SOCK_STREAM.rawValue),
            let domain = Self.option(SO_DOMAIN, of: number),
            [AF_INET, AF_INET6, AF_UNIX].contains(domain)
        else { throw .invalidArgument }
        try checked(clinux_make_listener(number))
        address = try SocketAddress.local(of: descriptor)
        file = nil
        isPassed = true
        self.descriptor = descriptor
    }

    deinit {
        file?.remove()
    }

    /// The next connection. Throws `wouldBlock` when there is none, which can be after one was seen:
    /// it may have gone again, or another process have taken it. accept4(2)
    public func accept() throws(Errno) -> StreamSocket {
        let number = try checked(clinux_accept(descriptor.rawValue))
        return StreamSocket(Descriptor(adopting: number))
    }

    /// Waits until a listener has a connection or the wake-up is signalled; answers the indices of
    /// the listeners that have one. poll(2)
    public static func poll(
        _ listeners: [Listener], or wakeUp: borrowing EventFD, milliseconds: Int? = nil
    ) throws(Errno) -> [Int] {
        let numbers = listeners.map { $0.descriptor.rawValue } + [wakeUp.descriptor.rawValue]
        var marks = [UInt8](repeating: 0, count: numbers.count)
        let timeout = milliseconds.map { CInt(clamping: $0) } ?? -1
        try checked(unsafe clinux_wait_readable(numbers, &marks, numbers.count, timeout))
        return listeners.indices.filter { marks[$0] != 0 }
    }

    /// Most listeners that ``poll(_:or:milliseconds:)`` can watch.
    public static var maximumCount: Int { 63 }

    private static func socket(for address: SocketAddress) throws(Errno) -> Descriptor {
        Descriptor(adopting: try checked(clinux_stream_socket(address.family)))
    }

    private static func option(_ name: CInt, of number: CInt) -> CInt? {
        var value: CInt = 0
        return unsafe clinux_get_option(number, SOL_SOCKET, name, &value) < 0 ? nil : value
    }

    private static func give(_ access: FileAccess, to path: String) throws(Errno) {
        try checked(
            unsafe clinux_set_file_access(
                path, access.uid.map { Int64($0) } ?? -1, access.gid.map { Int64($0) } ?? -1,
                access.mode.map { Int64($0) } ?? -1))
    }
}
