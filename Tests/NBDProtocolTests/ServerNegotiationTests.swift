// The handshake, event by event: what the server says, and what it wants next.

import Testing

@testable import NBDProtocol

@Suite("The server's half of the handshake")
struct ServerNegotiationTests {
    @Test("the server greets first, and asks for four bytes of flags")
    func start() {
        let step = ServerNegotiation(exports: twoExports).start()
        #expect(step.output == bytes("4e42444d41474943 49484156454f5054 0003"))
        #expect(step.next == .receive(4))
    }

    @Test(
        "a client may set neither, one or both of the two flags",
        arguments: 0...3 as ClosedRange<UInt8>)
    func clientFlags(flags: UInt8) {
        let (output, end) = play([0, 0, 0, flags] + option(.exportName, text("first")))
        #expect(end == .serve(agreed(0)))
        #expect(output.count == (flags & 2 == 0 ? 134 : 10))
    }

    @Test("any other client flag ends the connection", arguments: 2..<32)
    func unknownClientFlag(bit: Int) {
        var flags: [UInt8] = []
        flags.append(bigEndian: UInt32(1) << UInt32(bit) | 1)
        #expect(play(flags).end == .fail(.clientFlags(1 << UInt32(bit) | 1)))
    }

    @Test("EXPORT_NAME: size, flags, and 124 zeroes unless agreed otherwise")
    func exportName() {
        let answer = bytes("0000000002800000", "0021")
        let long = play(fixed + option(.exportName, text("first")))
        #expect(long.output == answer + [UInt8](repeating: 0, count: 124))
        let short = play(fixedNoZeroes + option(.exportName, text("first")))
        #expect(short.output == answer)
        #expect(short.end == .serve(agreed(0)))
    }

    @Test("the empty name means the first export; another name its own")
    func names() {
        #expect(play(fixed + option(.exportName)).end == .serve(agreed(0)))
        #expect(play(fixed + option(.exportName, text("zweite ü"))).end == .serve(agreed(1)))
    }

    @Test(
        "EXPORT_NAME with a name that is unknown, too long, no UTF-8 or has a NUL: closed, not a word",
        arguments: [
            text("unknown"), [UInt8](repeating: 0x6e, count: 4097), bytes("c328"), text("fir\0st"),
        ])
    func badExportName(name: [UInt8]) {
        let (output, end) = play(fixed + option(.exportName, name))
        #expect(output.isEmpty)
        #expect(end == .fail(.exportName))
    }

    @Test("ABORT is acknowledged, with data too, and ends the connection")
    func abort() {
        for data in [[], text("bye")] {
            let (output, end) = play(fixed + option(.abort, data))
            #expect(output == reply(.abort, .ack))
            #expect(end == .finish)
        }
    }

    @Test("LIST: one reply for each export, name first and then the description")
    func list() {
        let (output, end) = play(fixed + option(.list))
        #expect(
            output == reply(.list, .server, bytes("00000005") + text("firstramdisk"))
                + reply(.list, .server, bytes("00000009") + text("zweite ü"))
                + reply(.list, .ack))
        #expect(end == nil)
    }

    @Test("LIST with data: ERR_INVALID, and the handshake goes on")
    func listWithData() {
        let (output, end) = play(fixed + option(.list, [1]) + option(.abort))
        #expect(output == refusal(.list, .invalid) + reply(.abort, .ack))
        #expect(end == .finish)
    }

    @Test(
        "an unknown option: its data is read away, ERR_UNSUP, and the handshake goes on",
        arguments: [
            (4, 0), (5, 0), (12, 0), (99, 1000), (0xffff_ffff, 65536),
        ] as [(UInt32, Int)])
    func unknownOption(number: UInt32, length: Int) {
        let code = OptionCode(rawValue: number)
        let data = [UInt8](repeating: 0x49, count: length)
        let (output, end) = play(fixed + option(code, data) + option(.abort))
        #expect(output == refusal(code, .unsupported) + reply(.abort, .ack))
        #expect(end == .finish)
    }

    @Test(
        "STARTTLS, STRUCTURED_REPLY and EXTENDED_HEADERS with data: ERR_INVALID, and on it goes",
        arguments: [.startTLS, .structuredReply, .extendedHeaders] as [OptionCode])
    func dataWhereNoneBelongs(code: OptionCode) {
        let (output, end) = play(fixed + option(code, [1, 2, 3]) + option(.abort))
        #expect(output == refusal(code, .invalid) + reply(.abort, .ack))
        #expect(end == .finish)
    }

    @Test(
        "an option over the limit is thrown away piece by piece: ERR_TOO_BIG, and on it goes",
        arguments: [.list, .info, .go, OptionCode(rawValue: 99)] as [OptionCode])
    func tooBig(code: OptionCode) {
        let data = [UInt8](repeating: 0, count: Limits.optionDataKept + 1)
        let (output, end) = play(fixed + option(code, data) + option(.abort))
        #expect(output == refusal(code, .tooBig) + reply(.abort, .ack))
        #expect(end == .finish)
    }

    @Test("an option that claims gigabytes ends the connection before a byte of them is read")
    func enormous() {
        let header = OptionHeader(code: .go, length: .max).encoded
        #expect(play(fixed + header).end == .fail(.optionLength(.max)))
    }

    @Test("an option without its magic ends the connection")
    func badMagic() {
        var broken = option(.list)
        broken[0] ^= 1
        #expect(play(fixed + broken).end == .fail(.optionMagic))
    }

    @Test("the thirty-third option ends the connection")
    func tooManyOptions() {
        let many = Array(repeating: option(.list), count: Limits.optionCount(exports: 2)).flatMap {
            $0
        }
        #expect(play(fixed + many).end == nil)
        #expect(play(fixed + many + option(.list)).end == .fail(.tooManyOptions))
    }

    @Test("GO: size and flags come first, then what was asked for, then ACK, and no zeroes")
    func go() {
        let request = InfoRequest(
            exportName: "first", types: [.blockSize, .name, .description, InfoType(rawValue: 77)])
        let (output, end) = play(fixed + option(.go, request.encoded))
        #expect(
            output == reply(.go, .info, bytes("0000 0000000002800000 0021"))
                + reply(.go, .info, bytes("0001") + text("first"))
                + reply(.go, .info, bytes("0002") + text("ramdisk"))
                + reply(.go, .info, bytes("0003 00000001 00001000 02000000"))
                + reply(.go, .ack))
        #expect(end == .serve(agreed(0)))
    }

    @Test("GO by the empty name is told the export's own name")
    func canonicalName() {
        let request = InfoRequest(exportName: "", types: [.name])
        let (output, end) = play(fixed + option(.go, request.encoded))
        #expect(
            output == reply(.go, .info, bytes("0000 0000000002800000 0021"))
                + reply(.go, .info, bytes("0001") + text("first")) + reply(.go, .ack))
        #expect(end == .serve(agreed(0)))
    }

    @Test("INFO answers the same twice, stays in the handshake, and GO answers it once more")
    func info() {
        let data = InfoRequest(exportName: "zweite ü", types: [.blockSize]).encoded
        let once = play(fixed + option(.info, data)).output
        #expect(!once.isEmpty)
        let (output, end) = play(fixed + option(.info, data) + option(.info, data))
        #expect(output == once + once)
        #expect(end == nil)
        let go = play(fixed + option(.info, data) + option(.go, data))
        #expect(go.end == .serve(agreed(1)))
        #expect(go.output.count == 2 * once.count)
    }

    @Test("INFO and GO of an export that is not there: ERR_UNKNOWN, no information, and on it goes")
    func unknownExport() {
        for code in [.info, .go] as [OptionCode] {
            let data = InfoRequest(exportName: "third", types: [.blockSize]).encoded
            let (output, end) = play(fixed + option(code, data) + option(.abort))
            #expect(output == refusal(code, .unknownExport) + reply(.abort, .ack))
            #expect(end == .finish)
        }
    }

    @Test("INFO and GO whose lengths lie: ERR_INVALID, and on it goes")
    func invalidInfo() {
        for data in [[], bytes("00000005"), bytes("ffffffff 0000"), bytes("00000001 0000")] {
            let (output, end) = play(fixed + option(.go, data) + option(.abort))
            #expect(output == refusal(.go, .invalid) + reply(.abort, .ack))
            #expect(end == .finish)
        }
    }

    @Test("while the server is being stopped: ERR_SHUTDOWN, but ABORT is still acknowledged")
    func shuttingDown() {
        let data = InfoRequest(exportName: "first").encoded
        let (output, end) = play(
            fixed + option(.go, data) + option(.list) + option(.abort), isShuttingDown: true)
        #expect(
            output == refusal(.go, .shutdown) + refusal(.list, .shutdown) + reply(.abort, .ack))
        #expect(end == .finish)
        let name = play(fixed + option(.exportName, text("first")), isShuttingDown: true)
        #expect(name.end == .turnAway(.shuttingDown))
    }

    @Test("an export that cannot be served after all: GO gets ERR_POLICY, EXPORT_NAME the end")
    func withdrawn() {
        var negotiation = ServerNegotiation(exports: twoExports)
        _ = negotiation.start()
        _ = negotiation.receive(fixed)
        let data = InfoRequest(exportName: "first").encoded
        for _ in 0..<2 {
            _ = negotiation.receive(OptionHeader(code: .go, length: UInt32(data.count)).encoded)
            guard case .serve = negotiation.receive(data).next else {
                Issue.record("GO is not served")
                return
            }
            let step = negotiation.withdrawn()
            #expect(step.output.starts(with: reply(.go, .policy).prefix(16)))
            #expect(step.next == .receive(OptionHeader.encodedSize))
        }
        _ = negotiation.receive(OptionHeader(code: .exportName, length: 5).encoded)
        _ = negotiation.receive(text("first"))
        #expect(negotiation.withdrawn() == .init(output: [], next: .turnAway(.withdrawn)))
    }
}
