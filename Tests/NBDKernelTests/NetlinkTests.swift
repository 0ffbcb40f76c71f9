import SystemPackage
import Testing

@testable import NBDKernel

@Suite("Netlink")
struct NetlinkTests {
    /// A lookup of the family "nbd", field by field, as a little-endian machine writes it.
    private let lookup: [UInt8] = [
        0x1c, 0, 0, 0,  // length: 28
        0x10, 0,  // type: the controller
        0x05, 0,  // flags: request, acknowledge
        0x07, 0, 0, 0,  // sequence
        0, 0, 0, 0,  // sender: the kernel fills it in
        3, 1, 0, 0,  // get family, version 1
        0x08, 0, 0x02, 0,  // an attribute of 8 bytes: the family's name
        0x6e, 0x62, 0x64, 0,  // "nbd"
    ]

    @Test("a lookup has the bytes that the kernel expects")
    func encoding() {
        var message = GenericNetlinkFamily.lookup("nbd")
        message.sequence = 7
        #expect(message.encoded == lookup)
        #expect(NetlinkMessage.parse(lookup) == [message])
    }

    @Test("attributes are padded, nested and decoded")
    func attributes() throws {
        var inner = NetlinkAttributes()
        inner.append(1, number: UInt32(0x0102_0304))
        var outer = NetlinkAttributes()
        outer.append(2, number: UInt8(9))
        outer.append(3, nested: inner)
        outer.append(4, text: "ab")
        #expect(
            outer.bytes == [
                5, 0, 2, 0, 9, 0, 0, 0,  // a byte, and three of padding
                12, 0, 3, 0x80,  // nested
                8, 0, 1, 0, 4, 3, 2, 1,  // a number of 32 bits
                7, 0, 4, 0, 0x61, 0x62, 0, 0,  // "ab", its NUL, and one of padding
            ])
        let parsed = try #require(NetlinkAttribute.parse(outer.bytes))
        #expect(parsed.map(\.type) == [2, 3, 4])
        #expect(parsed[type: 2]?.number(as: UInt8.self) == 9)
        #expect(parsed[type: 2]?.number(as: UInt32.self) == nil)
        #expect(parsed[type: 3]?.nested?[type: 1]?.number(as: UInt32.self) == 0x0102_0304)
        #expect(parsed[type: 5] == nil)
    }

    @Test("an attribute with a false length is malformed")
    func malformedAttributes() {
        #expect(NetlinkAttribute.parse([UInt8]()) == [])
        #expect(NetlinkAttribute.parse([3, 0, 1, 0]) == nil)
        #expect(NetlinkAttribute.parse([0, 0, 1, 0]) == nil)
        #expect(NetlinkAttribute.parse([9, 0, 1, 0, 1, 2, 3, 4]) == nil)
        #expect(NetlinkAttribute.parse([8, 0, 1, 0, 1, 2, 3, 4, 8]) == nil)
        #expect(NetlinkAttribute.parse([0xff, 0xff, 1, 0, 1, 2, 3, 4]) == nil)
        // The padding of the last attribute may be missing.
        #expect(NetlinkAttribute.parse([5, 0, 1, 0, 7])?.first?.payload == [7])
    }

    @Test("a datagram that is truncated, or has a false length, is malformed")
    func malformedMessages() {
        for count in 1..<lookup.count {
            #expect(NetlinkMessage.parse(Array(lookup.prefix(count))) == nil)
        }
        for length in [0, 15, 29, 255] as [UInt8] {
            var bytes = lookup
            bytes[0] = length
            #expect(NetlinkMessage.parse(bytes) == nil)
        }
        #expect(NetlinkMessage.parse(lookup + lookup)?.count == 2)
    }

    @Test("a reply ends with the acknowledgement of its own request")
    func conversation() throws {
        func message(_ type: UInt16, _ sequence: UInt32, _ payload: [UInt8]) -> NetlinkMessage {
            NetlinkMessage(type: type, flags: [], sequence: sequence, payload: payload)
        }
        var reply = NetlinkReply(sequence: 7)
        let data = message(30, 7, [1, 1, 0, 0])
        #expect(try reply.add([message(2, 6, [0, 0, 0, 0])]) == nil)
        #expect(try reply.add([data]) == nil)
        #expect(try reply.add([message(2, 7, [0, 0, 0, 0])]) == [data])
        #expect(throws: Errno.notPermitted) {
            try reply.add([message(2, 7, [0xff, 0xff, 0xff, 0xff])])
        }
        for payload in [[], [0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0x80]] as [[UInt8]] {
            #expect(throws: Errno.badMessage) { try reply.add([message(2, 7, payload)]) }
        }
    }

    @Test("the family's identifier is found, or the reply is malformed")
    func family() {
        func reply(_ payload: [UInt8], type: UInt16 = 16) -> [NetlinkMessage] {
            [NetlinkMessage(type: type, flags: [], payload: payload)]
        }
        let good: [UInt8] = [1, 2, 0, 0, 6, 0, 1, 0, 0x1f, 0, 0, 0]
        #expect(GenericNetlinkFamily.identifier(in: reply(good)) == 0x1f)
        #expect(GenericNetlinkFamily.identifier(in: reply(good, type: 17)) == nil)
        #expect(GenericNetlinkFamily.identifier(in: []) == nil)
        #expect(GenericNetlinkFamily.identifier(in: reply([1, 2, 0])) == nil)
        #expect(GenericNetlinkFamily.identifier(in: reply([1, 2, 0, 0])) == nil)
        #expect(GenericNetlinkFamily.identifier(in: reply([1, 2, 0, 0, 5, 0, 1, 0, 9])) == nil)
    }

    @Test("the kernel replies: it has its controller, but no family with an unknown name")
    func kernel() throws {
        var socket = try NetlinkSocket()
        let controller = try GenericNetlinkFamily(named: "nlctrl", over: &socket)
        #expect(controller.identifier == GenericNetlinkFamily.controller)
        do throws(Errno) {
            _ = try GenericNetlinkFamily(named: "no-such-thing", over: &socket)
            Issue.record("the kernel has a family with this name")
        } catch {
            #expect(error == .noSuchFileOrDirectory)
        }
    }
}
