internal import CLinux
internal import Glibc
package import LinuxIO
package import SystemPackage

/// One end of a Unix socket that preserves message boundaries and carries descriptors. unix(7),
/// `SOCK_SEQPACKET` and `SCM_RIGHTS`
package struct DescriptorChannel: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// The length of the longest message in bytes. It has room for a sentence with a path.
    package static var longestMessage: Int { 1024 }

    /// Returns the two ends of a new channel. socketpair(2)
    package static func pair() throws(Errno) -> DescriptorChannelPair {
        var ends: [CInt] = [-1, -1]
        let type = CInt(SOCK_SEQPACKET.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        try checkedErrno(unsafe socketpair(AF_UNIX, type, 0, &ends))
        return DescriptorChannelPair(
            first: DescriptorChannel(Descriptor(adopting: ends[0])),
            second: DescriptorChannel(Descriptor(adopting: ends[1])))
    }

    /// Takes ownership of an end, such as one that the process has inherited.
    package init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }

    /// A way to wait for the channel, or to pass it to a child, without owning it.
    package var handle: SocketHandle { SocketHandle(rawValue: descriptor.rawValue) }

    /// Sends a message, with a copy of a socket if there is one. sendmsg(2)
    ///
    /// - Throws: `wouldBlock` when there is no room and the call is not to block.
    package func send(
        _ bytes: [UInt8], socket: SocketHandle? = nil, blocking: Bool = true
    ) throws(Errno) {
        precondition(!bytes.isEmpty && bytes.count <= Self.longestMessage)
        let count = unsafe clinux_send_message(
            descriptor.rawValue, bytes, bytes.count, socket?.rawValue ?? -1, blocking ? 1 : 0)
        guard count >= 0 else { throw Errno(rawValue: CInt(-count)) }
    }

    /// Waits for the next message; nil when the other end is closed. recvmsg(2)
    package func receive() throws(Errno) -> DescriptorMessage? {
        var bytes = [UInt8](repeating: 0, count: Self.longestMessage)
        var received: CInt = -1
        let count = unsafe clinux_receive_message(
            descriptor.rawValue, &bytes, bytes.count, &received)
        guard count >= 0 else { throw Errno(rawValue: CInt(-count)) }
        let socket = received >= 0 ? StreamSocket(Descriptor(adopting: received)) : nil
        // Every message has at least one byte.
        guard count > 0 else { return nil }
        return DescriptorMessage(bytes: Array(bytes.prefix(count)), socket: socket)
    }
}

/// The two ends that ``DescriptorChannel/pair()`` returns.
@frozen package struct DescriptorChannelPair: ~Copyable, Sendable {
    /// One end.
    package var first: DescriptorChannel
    /// The other end.
    package var second: DescriptorChannel
}

/// A message, and the socket that came with it.
@frozen package struct DescriptorMessage: ~Copyable, Sendable {
    /// The bytes of the message, at least one.
    package var bytes: [UInt8]
    /// The socket; nil when the message came without one.
    package var socket: StreamSocket?
}
