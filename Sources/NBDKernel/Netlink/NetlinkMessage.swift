internal import SystemPackage

/// A netlink message to or from the kernel.
package struct NetlinkMessage: Sendable, Equatable {
    /// The flags of a message (linux/netlink.h).
    package struct Flags: OptionSet, Sendable, Hashable {
        /// The flags on the wire.
        package let rawValue: UInt16
        /// Creates flags from their value on the wire.
        package init(rawValue: UInt16) { self.rawValue = rawValue }

        /// A request to the kernel. `NLM_F_REQUEST`
        package static let request = Self(rawValue: 1)
        /// More messages of the same reply follow. `NLM_F_MULTI`
        package static let multiple = Self(rawValue: 2)
        /// The sender wants an acknowledgement also on success. `NLM_F_ACK`
        package static let acknowledge = Self(rawValue: 4)
    }

    /// The identifier of the family, ``errorType`` or ``doneType``.
    package var type: UInt16
    /// The flags.
    package var flags: Flags
    /// Number that the reply repeats, so that requests and replies can be matched.
    package var sequence: UInt32
    /// The bytes after the header, without padding.
    package var payload: [UInt8]

    /// Size of a header in bytes. `NLMSG_HDRLEN`
    static var headerSize: Int { 16 }
    /// The type of an error or acknowledgement. `NLMSG_ERROR`
    static var errorType: UInt16 { 2 }
    /// The type of the message that ends a reply of several messages. `NLMSG_DONE`
    static var doneType: UInt16 { 3 }

    /// Creates a message.
    package init(
        type: UInt16, flags: Flags = [.request, .acknowledge], sequence: UInt32 = 0,
        payload: [UInt8]
    ) {
        self.type = type
        self.flags = flags
        self.sequence = sequence
        self.payload = payload
    }

    /// The encoded message. The field for the sender is 0; the kernel knows the sender.
    package var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(native: UInt32(Self.headerSize + payload.count))
        bytes.append(native: type)
        bytes.append(native: flags.rawValue)
        bytes.append(native: sequence)
        bytes.append(native: UInt32(0))
        bytes += payload
        bytes.pad()
        return bytes
    }

    /// Decodes the messages in a datagram. Returns nil if a length is wrong.
    package static func parse(_ datagram: [UInt8]) -> [NetlinkMessage]? {
        var rest = datagram[...]
        var messages: [NetlinkMessage] = []
        while !rest.isEmpty {
            guard let length = rest.native(at: 0, as: UInt32.self).map(Int.init),
                let type = rest.native(at: 4, as: UInt16.self),
                let flags = rest.native(at: 6, as: UInt16.self),
                let sequence = rest.native(at: 8, as: UInt32.self),
                length >= headerSize, length <= rest.count
            else { return nil }
            messages.append(
                NetlinkMessage(
                    type: type, flags: Flags(rawValue: flags), sequence: sequence,
                    payload: Array(rest.prefix(length).dropFirst(headerSize))))
            rest = rest.dropFirst(length.padded)
        }
        return messages
    }

    /// The error in a message of type ``errorType``; nil for an acknowledgement, and `badMessage` if the
    /// message is malformed.
    var error: Errno? {
        guard let number = payload[...].native(at: 0, as: Int32.self), number <= 0,
            number > .min
        else { return .badMessage }
        return number == 0 ? nil : Errno(rawValue: -number)
    }
}
