package import SystemPackage

/// A command to a generic netlink family, or its reply: the payload of a netlink message
/// (linux/genetlink.h).
package struct GenericNetlinkMessage: Sendable, Equatable {
    /// The command.
    package var command: UInt8
    /// The version of the family. Two reserved bytes follow it in the header.
    package var version: UInt8
    /// The encoded attributes.
    package var attributes: [UInt8]

    /// Size of the header before the attributes in bytes. `GENL_HDRLEN`
    static var headerSize: Int { 4 }

    /// Creates a command to a family.
    package init(command: UInt8, version: UInt8 = 1, attributes: NetlinkAttributes = .init()) {
        self.command = command
        self.version = version
        self.attributes = attributes.bytes
    }

    /// Decodes the payload of a message. Returns nil if it is too short.
    package init?(decoding payload: [UInt8]) {
        guard payload.count >= Self.headerSize else { return nil }
        command = payload[0]
        version = payload[1]
        attributes = Array(payload.dropFirst(Self.headerSize))
    }

    /// The payload of a netlink message.
    package var encoded: [UInt8] { [command, version, 0, 0] + attributes }
}

/// A generic netlink family, looked up by name.
package struct GenericNetlinkFamily: Sendable, Equatable {
    /// The identifier that the kernel assigned to the family when it was loaded.
    package let identifier: UInt16

    /// The identifier of the controller, the family that knows all others. `GENL_ID_CTRL`
    package static var controller: UInt16 { 16 }
    /// Looks a family up. `CTRL_CMD_GETFAMILY`
    static var getFamily: UInt8 { 3 }
    /// Identifier of a family, 16 bits. `CTRL_ATTR_FAMILY_ID`
    static var familyIdentifier: UInt16 { 1 }
    /// Name of a family, at most 15 bytes. `CTRL_ATTR_FAMILY_NAME`
    static var familyName: UInt16 { 2 }

    /// Looks a family up. Throws `noSuchFileOrDirectory` if there is none. The kernel may load the module that
    /// provides it.
    package init(named name: String, over socket: inout NetlinkSocket) throws(Errno) {
        let reply = try socket.exchange(Self.lookup(name))
        guard let identifier = Self.identifier(in: reply) else { throw .badMessage }
        self.identifier = identifier
    }

    /// Returns the message that looks a family up.
    package static func lookup(_ name: String) -> NetlinkMessage {
        var attributes = NetlinkAttributes()
        attributes.append(familyName, text: name)
        let command = GenericNetlinkMessage(command: getFamily, attributes: attributes)
        return NetlinkMessage(type: controller, payload: command.encoded)
    }

    /// Returns the identifier in the reply to a lookup, or nil if the reply is malformed.
    static func identifier(in reply: [NetlinkMessage]) -> UInt16? {
        guard let message = reply.first, message.type == controller,
            let command = GenericNetlinkMessage(decoding: message.payload)
        else { return nil }
        return NetlinkAttribute.parse(command.attributes)?[type: familyIdentifier]?.number()
    }

    /// Sends a command to the family, and returns its replies.
    package func exchange(
        _ command: GenericNetlinkMessage, over socket: inout NetlinkSocket
    ) throws(Errno) -> [GenericNetlinkMessage] {
        let message = NetlinkMessage(type: identifier, payload: command.encoded)
        var replies: [GenericNetlinkMessage] = []
        for message in try socket.exchange(message) {
            guard message.type == identifier,
                let reply = GenericNetlinkMessage(decoding: message.payload)
            else { throw .badMessage }
            replies.append(reply)
        }
        return replies
    }
}
