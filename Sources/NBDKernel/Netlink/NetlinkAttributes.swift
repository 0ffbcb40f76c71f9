// Attributes of a netlink message: how they are put together, and how they are taken apart.
//
// Each is a length, a type and a payload, padded to four bytes, in the machine's own byte order.
// What comes from outside is taken apart with every length checked: a malformed list is nil.

public import LinuxIO
internal import Glibc

/// Attributes under construction (linux/netlink.h, `struct nlattr`).
public struct NetlinkAttributes: Sendable, Equatable {
    /// The attributes as they travel.
    public private(set) var bytes: [UInt8] = []

    /// Bytes of an attribute before its payload. `NLA_HDRLEN`
    static var headerSize: Int { 4 }
    /// Says that the payload is attributes again. `NLA_F_NESTED`
    static var nestedFlag: UInt16 { 0x8000 }
    /// The bits that are flags, and not part of the type. `NLA_TYPE_MASK`, inverted
    static var flagBits: UInt16 { 0xc000 }

    /// None yet.
    public init() {}

    /// Appends a number.
    public mutating func append<Number: FixedWidthInteger>(_ type: UInt16, number: Number) {
        var payload: [UInt8] = []
        payload.append(native: number)
        append(type, payload)
    }

    /// Appends a text, with the NUL that ends it. `NLA_NUL_STRING`
    public mutating func append(_ type: UInt16, text: String) {
        append(type, Array(text.utf8) + [0])
    }

    /// Appends attributes inside an attribute. `NLA_NESTED`
    public mutating func append(_ type: UInt16, nested: NetlinkAttributes) {
        append(type | Self.nestedFlag, nested.bytes)
    }

    /// Appends a descriptor's number, for the kernel to take a reference to what is behind it. The
    /// socket has to be open until the message has been answered.
    public mutating func append(_ type: UInt16, descriptorOf socket: SocketHandle) {
        append(type, number: UInt32(bitPattern: socket.rawValue))
    }

    private mutating func append(_ type: UInt16, _ payload: [UInt8]) {
        let length = Self.headerSize + payload.count
        precondition(length <= Int(UInt16.max), "an attribute is longer than its length can say")
        bytes.append(native: UInt16(length))
        bytes.append(native: type)
        bytes += payload
        bytes.pad()
    }
}

/// One attribute of a message that came in.
public struct NetlinkAttribute: Sendable, Equatable {
    /// What it is; the family says which numbers there are.
    public let type: UInt16
    /// Its bytes, without the padding.
    public let payload: [UInt8]

    /// The attributes in some bytes, in order; nil when a length does not add up.
    public static func parse(_ bytes: some Sequence<UInt8>) -> [NetlinkAttribute]? {
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
            // The last one's padding may be missing.
            rest = rest.dropFirst(length.padded)
        }
        return attributes
    }

    /// The number in it; nil when it has another length.
    public func number<Number: FixedWidthInteger>(as type: Number.Type = Number.self) -> Number? {
        guard payload.count == Number.bitWidth / 8 else { return nil }
        return payload[...].native(at: 0, as: type)
    }

    /// The attributes inside it; nil when they are malformed.
    public var nested: [NetlinkAttribute]? { Self.parse(payload) }
}

extension [NetlinkAttribute] {
    /// The first one of a type.
    public subscript(type type: UInt16) -> NetlinkAttribute? { first { $0.type == type } }
}

// MARK: - Native byte order and padding

extension [UInt8] {
    /// Appends a number in the machine's own byte order.
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
    /// The number at an offset from the start, in the machine's own byte order; nil when it is not
    /// all there.
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
    /// The next multiple of four. `NLMSG_ALIGN`
    var padded: Int { (self + 3) & ~3 }
}
