internal import SystemPackage

/// A message to the kernel, or from it.
public struct NetlinkMessage: Sendable, Equatable {
    /// What a message is about, and how it wants to be answered (linux/netlink.h).
    public struct Flags: OptionSet, Sendable, Hashable {
        /// The flags as they travel.
        public let rawValue: UInt16
        /// Flags from their number.
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// To the kernel. `NLM_F_REQUEST`
        public static let request = Self(rawValue: 1)
        /// More messages of the same answer follow. `NLM_F_MULTI`
        public static let multiple = Self(rawValue: 2)
        /// An answer is wanted also when all went well. `NLM_F_ACK`
        public static let acknowledge = Self(rawValue: 4)
    }

    /// The family's number, or one of the numbers below.
    public var type: UInt16
    /// See ``Flags``.
    public var flags: Flags
    /// Brings answers and questions together.
    public var sequence: UInt32
    /// What follows the header, without padding.
    public var payload: [UInt8]

    /// Bytes of a header. `NLMSG_HDRLEN`
    static var headerSize: Int { 16 }
    /// An error, or the acknowledgement. `NLMSG_ERROR`
    static var errorType: UInt16 { 2 }
    /// The end of an answer of several messages. `NLMSG_DONE`
    static var doneType: UInt16 { 3 }

    /// A message of these parts.
    public init(
        type: UInt16, flags: Flags = [.request, .acknowledge], sequence: UInt32 = 0,
        payload: [UInt8]
    ) {
        self.type = type
        self.flags = flags
        self.sequence = sequence
        self.payload = payload
    }

    /// The message as it travels. The kernel finds out by itself who the sender is.
    public var encoded: [UInt8] {
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

    /// The messages in one datagram; nil when a length does not add up.
    public static func parse(_ datagram: [UInt8]) -> [NetlinkMessage]? {
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

    /// What an error message says: nil is an acknowledgement. Malformed ones say `badMessage`.
    var error: Errno? {
        guard let number = payload[...].native(at: 0, as: Int32.self), number <= 0,
            number > .min
        else { return .badMessage }
        return number == 0 ? nil : Errno(rawValue: -number)
    }
}
