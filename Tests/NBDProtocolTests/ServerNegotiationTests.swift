import Testing

@testable import NBDProtocol

@Suite("The server's half of the handshake")
struct ServerNegotiationTests {
    @Test("the server greets first, and expects four bytes of flags")
    func start() {
        let step = ServerNegotiation(exports: twoExports).start()
        #expect(step.output == bytes("4e42444d41474943 49484156454f5054 0003"))
        #expect(step.action == .receive(4))
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

    @Test("EXPORT_NAME: size, flags, and 124 zeroes unless NO_ZEROES was negotiated")
    func exportName() {
        let answer = bytes("0000000002800000", "0021")
        let long = play(fixed + option(.exportName, text("first")))
        #expect(long.output == answer + [UInt8](repeating: 0, count: 124))
        let short = play(fixedNoZeroes + option(.exportName, text("first")))
        #expect(short.output == answer)
        #expect(short.end == .serve(agreed(0)))
    }

    @Test("the empty name means the first export")
    func names() {
        #expect(play(fixed + option(.exportName)).end == .serve(agreed(0)))
        #expect(play(fixed + option(.exportName, text("zweite ü"))).end == .serve(agreed(1)))
    }

    @Test(
        "EXPORT_NAME with an unknown, overlong or invalid name closes the connection without a reply",
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

    @Test("LIST with data: ERR_INVALID, and the handshake continues")
    func listWithData() {
        let (output, end) = play(fixed + option(.list, [1]) + option(.abort))
        #expect(output == refusal(.list, .invalid) + reply(.abort, .ack))
        #expect(end == .finish)
    }

    @Test(
        "an unknown option: its data is discarded, ERR_UNSUP, and the handshake continues",
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
        "STARTTLS, STRUCTURED_REPLY and EXTENDED_HEADERS with data: ERR_INVALID",
        arguments: [.startTLS, .structuredReply, .extendedHeaders] as [OptionCode])
    func dataWhereNoneBelongs(code: OptionCode) {
        let (output, end) = play(fixed + option(code, [1, 2, 3]) + option(.abort))
        #expect(output == refusal(code, .invalid) + reply(.abort, .ack))
        #expect(end == .finish)
    }

    @Test(
        "an option over the limit is discarded piece by piece: ERR_TOO_BIG",
        arguments: [.list, .info, .go, OptionCode(rawValue: 99)] as [OptionCode])
    func tooBig(code: OptionCode) {
        let data = [UInt8](repeating: 0, count: Limits.optionDataKept + 1)
        let (output, end) = play(fixed + option(code, data) + option(.abort))
        #expect(output == refusal(code, .tooBig) + reply(.abort, .ack))
        #expect(end == .finish)
    }

    @Test("an option that announces gigabytes ends the connection before a byte of them is read")
    func enormous() {
        let header = OptionHeader(code: .go, length: .max).encoded
        #expect(play(fixed + header).end == .fail(.optionLength(.max)))
    }

    @Test("an option without its magic number ends the connection")
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

    @Test("GO: size and flags come first, then the requested information, then ACK, and no zeroes")
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

    @Test("GO with the empty name returns the name of the default export")
    func canonicalName() {
        let request = InfoRequest(exportName: "", types: [.name])
        let (output, end) = play(fixed + option(.go, request.encoded))
        #expect(
            output == reply(.go, .info, bytes("0000 0000000002800000 0021"))
                + reply(.go, .info, bytes("0001") + text("first")) + reply(.go, .ack))
        #expect(end == .serve(agreed(0)))
    }

    @Test("INFO and GO return the same information, and INFO does not end the handshake")
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

    @Test("INFO and GO of an export that does not exist: ERR_UNKNOWN, and no information")
    func unknownExport() {
        for code in [.info, .go] as [OptionCode] {
            let data = InfoRequest(exportName: "third", types: [.blockSize]).encoded
            let (output, end) = play(fixed + option(code, data) + option(.abort))
            #expect(output == refusal(code, .unknownExport) + reply(.abort, .ack))
            #expect(end == .finish)
        }
    }

    @Test("INFO and GO with false lengths: ERR_INVALID")
    func invalidInfo() {
        for data in [[], bytes("00000005"), bytes("ffffffff 0000"), bytes("00000001 0000")] {
            let (output, end) = play(fixed + option(.go, data) + option(.abort))
            #expect(output == refusal(.go, .invalid) + reply(.abort, .ack))
            #expect(end == .finish)
        }
    }

    @Test("while the server stops: ERR_SHUTDOWN, but ABORT is still acknowledged")
    func shuttingDown() {
        let data = InfoRequest(exportName: "first").encoded
        let (output, end) = play(
            fixed + option(.go, data) + option(.list) + option(.abort), isShuttingDown: true)
        #expect(
            output == refusal(.go, .shutdown) + refusal(.list, .shutdown) + reply(.abort, .ack))
        #expect(end == .finish)
        let name = play(fixed + option(.exportName, text("first")), isShuttingDown: true)
        #expect(name.end == .reject(.shuttingDown))
    }

    @Test("a session that the driver rejects: ERR_POLICY after GO, the end after EXPORT_NAME")
    func withdrawn() {
        var negotiation = ServerNegotiation(exports: twoExports)
        _ = negotiation.start()
        _ = negotiation.receive(fixed)
        let data = InfoRequest(exportName: "first").encoded
        for _ in 0..<2 {
            _ = negotiation.receive(OptionHeader(code: .go, length: UInt32(data.count)).encoded)
            guard case .serve = negotiation.receive(data).action else {
                Issue.record("GO is not served")
                return
            }
            let step = negotiation.didRejectExport()
            #expect(step.output.starts(with: reply(.go, .policy).prefix(16)))
            #expect(step.action == .receive(OptionHeader.encodedSize))
        }
        _ = negotiation.receive(OptionHeader(code: .exportName, length: 5).encoded)
        _ = negotiation.receive(text("first"))
        #expect(
            negotiation.didRejectExport() == .init(output: [], action: .reject(.exportRejected)))
    }
}
