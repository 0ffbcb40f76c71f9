internal import LinuxIO
internal import CLinux
package import SystemPackage

/// A generic netlink socket; closes it when released. netlink(7)
package struct NetlinkSocket: ~Copyable, Sendable {
    private let descriptor: Descriptor
    private var sequence: UInt32 = 0

    /// Size of the receive buffer in bytes. The kernel sends datagrams of at most a page or two.
    private static var datagramSize: Int { 64 << 10 }
    /// Receive timeout in milliseconds. The kernel executes a request before send(2) returns, so a reply
    /// that is not there by then will not arrive.
    private static var timeout: Int { 10_000 }

    /// Opens a socket. socket(2), `NETLINK_GENERIC`
    package init() throws(Errno) {
        descriptor = Descriptor(adopting: try checked(clinux_netlink_socket()))
        handle.setReceiveTimeout(milliseconds: Self.timeout)
    }

    private var handle: SocketHandle { SocketHandle(rawValue: descriptor.rawValue) }

    /// Sends a request, and returns the messages that the kernel sends before its acknowledgement. Throws the
    /// kernel's error, or `badMessage` if the reply is malformed.
    package mutating func exchange(_ message: NetlinkMessage) throws(Errno) -> [NetlinkMessage] {
        sequence &+= 1
        var request = message
        request.sequence = sequence
        request.flags.formUnion([.request, .acknowledge])
        try send(request.encoded)
        var reply = NetlinkReply(sequence: sequence)
        while true {
            guard let messages = NetlinkMessage.parse(try receive()) else { throw .badMessage }
            if let complete = try reply.add(messages) { return complete }
        }
    }

    private func send(_ bytes: [UInt8]) throws(Errno) {
        let mapping = try MemoryMapping(privateBytes: bytes.count)
        mapping.region.copy(from: bytes)
        if case .failed(let error) = handle.send(mapping.region) { throw error }
    }

    private func receive() throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.datagramSize)
        // Sound: the array's own storage and length.
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe clinux_netlink_receive(descriptor.rawValue, buffer.baseAddress, buffer.count)
        }
        guard count >= 0 else { throw Errno(rawValue: CInt(-count)) }
        return Array(bytes.prefix(count))
    }
}

/// Collects the messages of the reply to one request.
package struct NetlinkReply {
    let sequence: UInt32
    private var messages: [NetlinkMessage] = []

    package init(sequence: UInt32) { self.sequence = sequence }

    /// Adds received messages. Returns all messages of the reply if it is complete, else nil.
    package mutating func add(_ received: [NetlinkMessage]) throws(Errno) -> [NetlinkMessage]? {
        // Messages with another sequence number are late replies to a request that timed out.
        for message in received where message.sequence == sequence {
            switch message.type {
            case NetlinkMessage.errorType:
                if let error = message.error { throw error }
                return messages
            case NetlinkMessage.doneType: return messages
            default: messages.append(message)
            }
        }
        return nil
    }
}
