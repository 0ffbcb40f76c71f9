import Testing

@testable import NBDProtocol

@Suite("Messages on the wire")
struct MessageTests {
    @Test("a request is 28 bytes, field by field")
    func request() {
        let table = bytes(
            "25609513",  // magic
            "0003",  // flags: FUA, NO_HOLE
            "0006",  // WRITE_ZEROES
            "0102030405060708",  // cookie, not swapped
            "0000000100000200",  // offset
            "00001000")  // length
        let request = Request(table)
        #expect(request?.flags == [.forceUnitAccess, .noHole])
        #expect(request?.command == .writeZeroes)
        #expect(request?.offset == 0x1_0000_0200)
        #expect(request?.length == 4096)
        #expect(request?.encoded == table)
    }

    @Test("a request with a wrong magic number, or too short, is rejected")
    func badRequest() {
        let good = Request(.read, cookie: 7, offset: 0, length: 512).encoded
        #expect(Request(good) != nil)
        for index in 0..<4 {
            var bad = good
            bad[index] ^= 1
            #expect(Request(bad) == nil)
        }
        for count in 0..<good.count { #expect(Request(Array(good.prefix(count))) == nil) }
    }

    @Test("a simple reply is 16 bytes and returns the cookie unchanged")
    func simpleReply() {
        let table = bytes(
            "67446698",  // magic
            "0000001c",  // ENOSPC
            "f1f2f3f4f5f6f7f8")  // cookie
        let reply = SimpleReply(table)
        #expect(reply?.error == .noSpace)
        #expect(reply?.encoded == table)
        for index in 0..<4 {
            var bad = table
            bad[index] ^= 1
            #expect(SimpleReply(bad) == nil)
        }
    }

    @Test("the cookie of a request is the cookie of its reply, for any bits")
    func cookies() {
        for cookie in [0, 1, .max, 0x8000_0000_0000_0000, 0x0123_4567_89ab_cdef] as [UInt64] {
            let request = Request(.flush, cookie: cookie).encoded
            let decoded = Request(request)!
            let reply = SimpleReply(cookie: decoded.cookie).encoded
            #expect(reply[8..<16] == request[8..<16])
        }
    }

    @Test("the greeting is 18 bytes")
    func greeting() {
        let table = bytes(
            "4e42444d41474943",  // NBDMAGIC
            "49484156454f5054",  // IHAVEOPT
            "0003")  // fixed newstyle, no zeroes
        #expect(Greeting(flags: [.fixedNewstyle, .noZeroes]).encoded == table)
        #expect(Greeting(decoding: unsafe table.span.bytes)?.flags.rawValue == 3)
        let oldstyle = bytes("4e42444d41474943", "0000420281861253", "0000")
        #expect(Greeting(decoding: unsafe oldstyle.span.bytes) == nil)
    }

    @Test("an option header is 16 bytes, its reply's 20")
    func option() {
        let table = bytes("49484156454f5054", "00000007", "00000006")
        let header = OptionHeader(decoding: unsafe table.span.bytes)
        #expect(header == OptionHeader(code: .go, length: 6))
        #expect(header?.encoded == table)

        let reply = bytes("0003e889045565a9", "00000007", "80000006", "00000002")
        let decoded = OptionReplyHeader(decoding: unsafe reply.span.bytes)
        #expect(decoded == OptionReplyHeader(option: .go, code: .unknownExport, length: 2))
        #expect(decoded?.encoded == reply)
        #expect(decoded?.code.isError == true)
        #expect(OptionReplyCode.ack.isError == false)
    }

    @Test("the data of INFO and GO: a name and a list of types")
    func infoRequest() {
        let table = bytes("00000003", "616263", "0002", "0003", "0001")
        let request = InfoRequest(decoding: table)
        #expect(request == InfoRequest(exportName: "abc", types: [.blockSize, .name]))
        #expect(request?.encoded == table)
    }

    @Test(
        "data of INFO whose lengths do not add up is rejected",
        arguments: [
            bytes(""), bytes("00000000"), bytes("00000000 00"),
            bytes("00000001 0000"),  // the name would include half of the count
            bytes("00000000 0001"),  // a type is missing
            bytes("00000000 0001 0003 00"),  // a byte is left over
            bytes("ffffffff 616263 0000"),  // a name of 4 GiB
            bytes("00000004 61620063 0000"),  // NUL
            bytes("00000002 c328 0000"),  // not UTF-8
        ])
    func badInfoRequest(data: [UInt8]) {
        #expect(InfoRequest(decoding: data) == nil)
    }

    @Test("a string may have 4096 bytes, but not 4097")
    func longStrings() {
        for (length, isGood) in [(4096, true), (4097, false)] {
            let name = String(repeating: "n", count: length)
            let decoded = InfoRequest(decoding: InfoRequest(exportName: name).encoded)
            #expect((decoded != nil) == isGood)
        }
    }

    @Test("every command has a value, a name and a name in the specification")
    func commands() {
        #expect(Command.allCases.map(\.rawValue) == Array(0...7))
        for command in Command.allCases {
            #expect(Command(name: command.name) == command)
            #expect(command.description.hasPrefix("NBD_CMD_"))
        }
        #expect(Command.disconnect.description == "NBD_CMD_DISC")
        #expect(Command.writeZeroes.description == "NBD_CMD_WRITE_ZEROES")
        #expect(Command(rawValue: 9).name == "unknown")
        #expect(Command(rawValue: 9).description == "command 9")
        #expect(Command(name: "unknown") == nil)
    }

    @Test("every error has the value and the name of the specification")
    func errors() {
        #expect(WireError.allCases.map(\.rawValue) == [0, 1, 5, 12, 22, 28, 75, 95, 108])
        #expect(
            WireError.allCases.map(\.name) == [
                "none", "EPERM", "EIO", "ENOMEM", "EINVAL", "ENOSPC", "EOVERFLOW", "ENOTSUP",
                "ESHUTDOWN",
            ])
        #expect(WireError.invalid.description == "NBD_EINVAL")
        #expect(WireError.none.description == "none")
        #expect(WireError(rawValue: 77).name == "77")
    }
}
