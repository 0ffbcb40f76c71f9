package import LinuxIO
internal import Glibc

/// Encodes the attributes of a netlink message (linux/netlink.h, `struct nlattr`).
///
/// Each attribute is a length, a type and a payload, padded to four bytes, in native byte order.
package struct NetlinkAttributes: Sendable, Equatable {
    /// The encoded attributes.
    package private(set) var bytes: [UInt8] = []

    /// Size of an attribute's header in bytes. `NLA_HDRLEN`
    static var headerSize: Int { 4 }
    /// The flag of an attribute whose payload consists of attributes. `NLA_F_NESTED`
    static var nestedFlag: UInt16 { 0x8000 }
    /// The flag bits, which are not part of the type. `NLA_TYPE_MASK`, inverted
    static var flagBits: UInt16 { 0xc000 }

    /// Creates an empty list.
    package init() {}

    /// Appends a number.
    package mutating func append<Number: FixedWidthInteger>(_ type: UInt16, number: Number) {
        var payload: [UInt8] = []
        payload.append(native: number)
        append(type, payload)
    }

    /// Appends a text and a terminating NUL. `NLA_NUL_STRING`
    package mutating func append(_ type: UInt16, text: String) {
        append(type, Array(text.utf8) + [0])
    }

    /// Appends an attribute that contains attributes. `NLA_NESTED`
    package mutating func append(_ type: UInt16, nested: NetlinkAttributes) {
        append(type | Self.nestedFlag, nested.bytes)
    }

    /// Appends the descriptor of a socket, to which the kernel takes a reference. The socket must stay open
    /// until the reply arrives.
    package mutating func append(_ type: UInt16, descriptorOf socket: SocketHandle) {
        append(type, number: UInt32(bitPattern: socket.rawValue))
    }

    private mutating func append(_ type: UInt16, _ payload: [UInt8]) {
        let length = Self.headerSize + payload.count
        precondition(
            length <= Int(UInt16.max), "an attribute is longer than its 16-bit length field allows")
        bytes.append(native: UInt16(length))
        bytes.append(native: type)
        bytes += payload
        bytes.pad()
    }
}

/// An attribute of a received message.
package struct NetlinkAttribute: Sendable, Equatable {
    /// The type; each family defines its own.
    package let type: UInt16
    /// The payload, without padding.
    package let payload: [UInt8]

    /// Decodes a list of attributes. Every length is checked: returns nil if one is wrong.
    package static func parse(_ bytes: some Sequence<UInt8>) -> [NetlinkAttribute]? {
        var rest = Array(bytes)[...]
        var attributes: [NetlinkAttribute] = []
        while !rest.isEmpty {
            guard let length = rest.native(at: 0, as: UInt16.self).map(Int.init),
                let type = rest.native(at: 2, as: UInt16.self),
                length >= NetlinkAttributes.headerSize, length <= rest.count
            else { return nil }
            attributes.append(
                NetlinkAttribute(
                    type: type & ~NetlinkAttributes.flagBits,
                    payload: Array(rest.prefix(length).dropFirst(NetlinkAttributes.headerSize))))
            // The padding of the last attribute may be missing.
            rest = rest.dropFirst(length.padded)
        }
        return attributes
    }

    /// Returns the payload as a number, or nil if it has another length.
    package func number<Number: FixedWidthInteger>(as type: Number.Type = Number.self) -> Number? {
        guard payload.count == Number.bitWidth / 8 else { return nil }
        return payload[...].native(at: 0, as: type)
    }

    /// The attributes in the payload, or nil if they are malformed.
    package var nested: [NetlinkAttribute]? { Self.parse(payload) }
}

extension [NetlinkAttribute] {
    /// The first attribute of a type.
    package subscript(type type: UInt16) -> NetlinkAttribute? { first { $0.type == type } }
}

// MARK: - Native byte order and padding

extension [UInt8] {
    /// Appends a number in native byte order.
    mutating func append<Number: FixedWidthInteger>(native number: Number) {
        for byte in 0..<Number.bitWidth / 8 {
            append(UInt8(truncatingIfNeeded: number.littleEndian >> Number(byte * 8)))
        }
    }

    /// Appends zeroes up to a multiple of four bytes. `NLMSG_ALIGN`
    mutating func pad() {
        append(contentsOf: repeatElement(0, count: count.padded - count))
    }
}

extension ArraySlice<UInt8> {
    /// Returns the number at an offset from the start, in native byte order, or nil if there are too few
    /// bytes.
    func native<Number: FixedWidthInteger>(at offset: Int, as type: Number.Type) -> Number? {
        let width = Number.bitWidth / 8
        guard offset >= 0, count >= offset + width else { return nil }
        var value: Number = 0
        for (index, byte) in dropFirst(offset).prefix(width).enumerated() {
            value |= Number(truncatingIfNeeded: byte) << Number(index * 8)
        }
        return Number(littleEndian: value)
    }
}

extension Int {
    /// The value rounded up to a multiple of four. `NLMSG_ALIGN`
    var padded: Int { (self + 3) & ~3 }
}
