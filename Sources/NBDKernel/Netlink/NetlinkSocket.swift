internal import LinuxIO
internal import CLinux
public import SystemPackage

/// A generic netlink socket, and the duty to close it. netlink(7)
public struct NetlinkSocket: ~Copyable, Sendable {
    private let descriptor: Descriptor
    private var sequence: UInt32 = 0

    /// Bytes that one datagram of the kernel may have; it sends none longer than a page or two.
    private static var datagramSize: Int { 64 << 10 }
    /// Milliseconds within which the kernel answers. It does what it is asked before the question's
    /// send returns, so an answer that is not there then does not come.
    private static var patience: Int { 10_000 }

    /// Opens one. socket(2), `NETLINK_GENERIC`
    public init() throws(Errno) {
        descriptor = Descriptor(adopting: try checked(clinux_netlink_socket()))
        handle.setReceiveTimeout(milliseconds: Self.patience)
    }

    private var handle: SocketHandle { SocketHandle(rawValue: descriptor.rawValue) }

    /// Asks, and answers the messages that came back before the acknowledgement. Throws what the
    /// kernel says, or `badMessage` when its answer is malformed.
    public mutating func ask(_ message: NetlinkMessage) throws(Errno) -> [NetlinkMessage] {
        sequence &+= 1
        var question = message
        question.sequence = sequence
        question.flags.formUnion([.request, .acknowledge])
        try send(question.encoded)
        var conversation = NetlinkConversation(sequence: sequence)
        while true {
            guard let messages = NetlinkMessage.parse(try receive()) else { throw .badMessage }
            if let answer = try conversation.take(messages) { return answer }
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

/// The answer to one question, as it comes in.
package struct NetlinkConversation {
    let sequence: UInt32
    private var answer: [NetlinkMessage] = []

    package init(sequence: UInt32) { self.sequence = sequence }

    /// Takes messages in; what has come when they end the answer, else nil.
    package mutating func take(_ messages: [NetlinkMessage]) throws(Errno) -> [NetlinkMessage]? {
        // Others are late answers to a question that was given up.
        for message in messages where message.sequence == sequence {
            switch message.type {
            case NetlinkMessage.errorType:
                if let error = message.error { throw error }
                return answer
            case NetlinkMessage.doneType: return answer
            default: answer.append(message)
            }
        }
        return nil
    }
}
