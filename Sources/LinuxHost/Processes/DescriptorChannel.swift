package import LinuxIO
internal import CLinux
internal import Glibc
package import SystemPackage

/// One end of a Unix socket that keeps messages whole, and carries descriptors. unix(7),
/// `SOCK_SEQPACKET` and `SCM_RIGHTS`
package struct DescriptorChannel: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// Longest message in bytes.
    package static var longestMessage: Int { 64 }

    /// Both ends of a new one. socketpair(2)
    package static func pair() throws(Errno) -> DescriptorChannelPair {
        var first: CInt = -1
        var second: CInt = -1
        try checked(unsafe clinux_control_pair(&first, &second))
        return DescriptorChannelPair(
            first: DescriptorChannel(Descriptor(adopting: first)),
            second: DescriptorChannel(Descriptor(adopting: second)))
    }

    /// Takes over an end, such as one that was inherited.
    package init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    /// A way to wait for it, or to hand it to a child, without owning it.
    package var handle: SocketHandle { SocketHandle(rawValue: descriptor.rawValue) }

    /// Sends a message, and a socket with it. Throws `wouldBlock` when there is no room and no wish
    /// to wait. sendmsg(2)
    package func send(
        _ bytes: [UInt8], socket: SocketHandle? = nil, blocking: Bool = true
    ) throws(Errno) {
        precondition(!bytes.isEmpty && bytes.count <= Self.longestMessage)
        let number = socket?.rawValue ?? -1
        let count = unsafe clinux_send_message(
            descriptor.rawValue, bytes, bytes.count, number, blocking ? 1 : 0)
        guard count >= 0 else { throw Errno(rawValue: CInt(-count)) }
    }

    /// Waits for a message; nil when the other end is closed. recvmsg(2)
    package func receive() throws(Errno) -> DescriptorMessage? {
        var bytes = [UInt8](repeating: 0, count: Self.longestMessage)
        var number: CInt = -1
        let count = unsafe clinux_receive_message(
            descriptor.rawValue, &bytes, bytes.count, &number)
        guard count >= 0 else { throw Errno(rawValue: CInt(-count)) }
        let socket = number >= 0 ? StreamSocket(Descriptor(adopting: number)) : nil
        // Every message has at least a byte.
        guard count > 0 else { return nil }
        return DescriptorMessage(bytes: Array(bytes.prefix(count)), socket: socket)
    }
}

/// What ``DescriptorChannel/pair()`` makes.
@frozen package struct DescriptorChannelPair: ~Copyable, Sendable {
    /// One end.
    package var first: DescriptorChannel
    /// The other end.
    package var second: DescriptorChannel
}

/// A message, and the socket that came with it.
@frozen package struct DescriptorMessage: ~Copyable, Sendable {
    /// What was said.
    package var bytes: [UInt8]
    /// What was handed over.
    package var socket: StreamSocket?
}
