// Generic netlink: families with a name, whose number is found out once, and their commands
// (linux/genetlink.h).

public import SystemPackage

/// A command of a family, with its attributes: what generic netlink's messages carry.
public struct GenericNetlinkMessage: Sendable, Equatable {
    /// What is asked for, or answered.
    public var command: UInt8
    /// The family's version. Its header has two more bytes, which are reserved.
    public var version: UInt8
    /// The attributes as they travel.
    public var attributes: [UInt8]

    /// Bytes before the attributes. `GENL_HDRLEN`
    static var headerSize: Int { 4 }

    /// A command to a family.
    public init(command: UInt8, version: UInt8 = 1, attributes: NetlinkAttributes = .init()) {
        self.command = command
        self.version = version
        self.attributes = attributes.bytes
    }

    /// From a message's payload; nil when it is too short.
    public init?(decoding payload: [UInt8]) {
        guard payload.count >= Self.headerSize else { return nil }
        command = payload[0]
        version = payload[1]
        attributes = Array(payload.dropFirst(Self.headerSize))
    }

    /// The payload of a message.
    public var encoded: [UInt8] { [command, version, 0, 0] + attributes }
}

/// A family of generic netlink, found by its name.
public struct GenericNetlinkFamily: Sendable, Equatable {
    /// Its number at this kernel, since it was loaded.
    public let number: UInt16

    /// The family that knows the others. `GENL_ID_CTRL`
    package static var controller: UInt16 { 16 }
    /// Asks for a family. `CTRL_CMD_GETFAMILY`
    static var getFamily: UInt8 { 3 }
    /// A family's number, 16 bits. `CTRL_ATTR_FAMILY_ID`
    static var familyNumber: UInt16 { 1 }
    /// A family's name, at most 15 bytes. `CTRL_ATTR_FAMILY_NAME`
    static var familyName: UInt16 { 2 }

    /// Asks for a family by name; throws `noSuchFileOrDirectory` when there is none. The kernel may
    /// load the module that has it.
    public init(named name: String, over socket: inout NetlinkSocket) throws(Errno) {
        let answer = try socket.ask(Self.question(name))
        guard let number = Self.number(in: answer) else { throw .badMessage }
        self.number = number
    }

    package static func question(_ name: String) -> NetlinkMessage {
        var attributes = NetlinkAttributes()
        attributes.append(familyName, text: name)
        let command = GenericNetlinkMessage(command: getFamily, attributes: attributes)
        return NetlinkMessage(type: controller, payload: command.encoded)
    }

    static func number(in answer: [NetlinkMessage]) -> UInt16? {
        guard let message = answer.first, message.type == controller,
            let command = GenericNetlinkMessage(decoding: message.payload)
        else { return nil }
        return NetlinkAttribute.parse(command.attributes)?[type: familyNumber]?.number()
    }

    /// Sends a command to the family, and answers the commands that came back.
    public func ask(
        _ command: GenericNetlinkMessage, over socket: inout NetlinkSocket
    ) throws(Errno) -> [GenericNetlinkMessage] {
        let message = NetlinkMessage(type: number, payload: command.encoded)
        var answers: [GenericNetlinkMessage] = []
        for message in try socket.ask(message) {
            guard message.type == number,
                let answer = GenericNetlinkMessage(decoding: message.payload)
            else { throw .badMessage }
            answers.append(answer)
        }
        return answers
    }
}
