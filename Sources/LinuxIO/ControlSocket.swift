// How two processes of ours talk, and hand sockets to each other.

internal import CLinux
internal import Glibc
public import SystemPackage

/// One end of a Unix socket that keeps messages whole, and carries descriptors. unix(7),
/// `SOCK_SEQPACKET` and `SCM_RIGHTS`
public struct ControlSocket: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Longest message in bytes.
    public static var longestMessage: Int { 64 }

    /// Both ends of a new one. socketpair(2)
    public static func pair() throws(Errno) -> ControlPair {
        var first: CInt = -1
        var second: CInt = -1
        try checked(unsafe clinux_control_pair(&first, &second))
        return ControlPair(
            first: ControlSocket(Descriptor(adopting: first)),
            second: ControlSocket(Descriptor(adopting: second)))
    }

    /// Takes over an end, such as one that was inherited.
    public init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    /// A way to wait for it, or to hand it to a child, without owning it.
    public var handle: SocketHandle { SocketHandle(number: descriptor.rawValue) }

    /// Sends a message, and a socket with it. Throws `wouldBlock` when there is no room and no wish
    /// to wait. sendmsg(2)
    public func send(
        _ bytes: [UInt8], socket: SocketHandle? = nil, wait: Bool = true
    ) throws(Errno) {
        precondition(!bytes.isEmpty && bytes.count <= Self.longestMessage)
        let number = socket?.number ?? -1
        let count = unsafe clinux_send_message(
            descriptor.rawValue, bytes, bytes.count, number, wait ? 1 : 0)
        guard count >= 0 else { throw Errno(rawValue: CInt(-count)) }
    }

    /// Waits for a message; nil when the other end is closed. recvmsg(2)
    public func receive() throws(Errno) -> ControlMessage? {
        var bytes = [UInt8](repeating: 0, count: Self.longestMessage)
        var number: CInt = -1
        let count = unsafe clinux_receive_message(
            descriptor.rawValue, &bytes, bytes.count, &number)
        guard count >= 0 else { throw Errno(rawValue: CInt(-count)) }
        let socket = number >= 0 ? StreamSocket(Descriptor(adopting: number)) : nil
        // Every message has at least a byte.
        guard count > 0 else { return nil }
        return ControlMessage(bytes: Array(bytes.prefix(count)), socket: socket)
    }
}

/// What ``ControlSocket/pair()`` makes.
@frozen public struct ControlPair: ~Copyable, Sendable {
    /// One end.
    public var first: ControlSocket
    /// The other end.
    public var second: ControlSocket
}

/// A message, and the socket that came with it.
@frozen public struct ControlMessage: ~Copyable, Sendable {
    /// What was said.
    public var bytes: [UInt8]
    /// What was handed over.
    public var socket: StreamSocket?
}
