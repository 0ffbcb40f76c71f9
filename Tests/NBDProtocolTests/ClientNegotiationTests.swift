import Testing

@testable import NBDProtocol

@Suite("The client's half of the handshake")
struct ClientNegotiationTests {
    /// The state at the end of a conversation.
    struct Conversation {
        var output: [UInt8]
        /// Nil if the client expects more input.
        var end: ClientNegotiation.Action?
        var unread: Int
    }

    /// Runs a handshake against the bytes that the server sends, and returns what the client sent and how
    /// the handshake ended. `isClosed` says whether the server closes the connection after its last byte.
    func play(
        _ goal: ClientNegotiation.Goal, _ input: [UInt8],
        flags: ClientFlags = [.fixedNewstyle, .noZeroes], isClosed: Bool = false
    ) -> Conversation {
        var negotiation = ClientNegotiation(goal, flags: flags)
        var input = input[...]
        var step = negotiation.start()
        var output: [UInt8] = []
        while true {
            output += step.output
            guard case .receive(let count) = step.action else {
                return Conversation(output: output, end: step.action, unread: input.count)
            }
            if input.count >= count {
                step = negotiation.receive(Array(input.prefix(count)))
                input = input.dropFirst(count)
            } else if isClosed {
                step = negotiation.peerDidClose()
            } else {
                return Conversation(output: output, end: nil, unread: input.count)
            }
        }
    }

    let greeting = Greeting(flags: [.fixedNewstyle, .noZeroes]).encoded
    let flags = bytes("00000003")

    func option(_ code: OptionCode, _ data: [UInt8] = []) -> [UInt8] {
        OptionHeader(code: code, length: UInt32(data.count)).encoded + data
    }

    func reply(_ option: OptionCode, _ code: OptionReplyCode, _ data: [UInt8] = []) -> [UInt8] {
        OptionReplyHeader(option: option, code: code, length: UInt32(data.count)).encoded + data
    }

    func go(_ name: String) -> [UInt8] {
        option(
            .go,
            InfoRequest(exportName: name, types: [.description, .blockSize]).encoded)
    }

    /// `NBD_INFO_EXPORT` of 40 MiB.
    let information = bytes("0000", "0000000002800000", "0021")

    func export(
        _ name: String, description: String = "", blockSizes: BlockSizes? = nil
    ) -> RemoteExport {
        var export = RemoteExport(name: name)
        export.size = 40 << 20
        export.flags = [.hasFlags, .trim]
        export.description = description
        export.blockSizes = blockSizes
        return export
    }

    // MARK: - Messages

    @Test(
        "structured replies and extended headers are negotiated before the export",
        arguments: [(.structured, .structuredReply), (.extended, .extendedHeaders)]
            as [(HeaderFormat, OptionCode)])
    func formats(format: HeaderFormat, code: OptionCode) {
        var client = ClientNegotiation(.open(export: "a"), format: format)
        _ = client.start()
        #expect(client.receive(greeting).output == flags + option(code))
        #expect(client.receive(reply(code, .ack)).output == go("a"))
        var refused = ClientNegotiation(.open(export: "a"), format: format)
        _ = refused.start()
        _ = refused.receive(greeting)
        let step = refused.receive(reply(code, .unsupported))
        #expect(step.action == .fail(.refused(code, .unsupported, message: "")))
    }

    // MARK: - The greeting

    @Test("the client sends nothing before the greeting")
    func start() {
        let step = ClientNegotiation(.open(export: "")).start()
        #expect(step == ClientNegotiation.Step(output: [], action: .receive(18)))
    }

    @Test("flags and GO are sent in one step")
    func firstMessage() {
        let expected = bytes(
            "00000003",
            "49484156454f5054", "00000007", "0000000d",
            "00000003", "616263",
            "0002", "0002", "0003")
        #expect(play(.open(export: "abc"), greeting).output == expected)
    }

    @Test(
        "the client accepts only flags that the server offers",
        arguments: 0...3 as ClosedRange<UInt16>)
    func clientFlags(offered: UInt16) {
        let greeting = Greeting(flags: HandshakeFlags(rawValue: offered)).encoded
        let output = play(.open(export: ""), greeting).output
        #expect(output.prefix(4) == [0, 0, 0, UInt8(offered)])
    }

    @Test("the client ignores flags of later versions of the protocol")
    func unknownHandshakeFlags() {
        let greeting = Greeting(flags: HandshakeFlags(rawValue: 0xffff)).encoded
        #expect(play(.open(export: ""), greeting).output.prefix(4) == [0, 0, 0, 3])
    }

    @Test("other protocols and oldstyle servers are recognized")
    func otherGreetings() {
        #expect(play(.list, text("SSH-2.0-OpenSSH_9.2p1")).end == .fail(.notNBD))
        let oldstyle = bytes("4e42444d41474943", "0000420281861253", "0000000002800000")
        #expect(play(.list, oldstyle).end == .fail(.oldstyle))
        #expect(
            play(.list, bytes("4e42444d41474943", "0000000000000000", "0003")).end == .fail(.notNBD)
        )
    }

    // MARK: - GO

    @Test("GO: size and flags, then ACK, and the client reads no byte after it")
    func goWorks() {
        let input =
            greeting + reply(.go, .info, information) + reply(.go, .ack) + text("transmission")
        let conversation = play(.open(export: "abc"), input)
        #expect(conversation.output == flags + go("abc"))
        #expect(conversation.end == .transmit(export("abc")))
        #expect(conversation.unread == 12)
    }

    @Test("GO: the client stores description and block sizes, and ignores unknown information")
    func goInformation() {
        let input =
            greeting
            + reply(.go, .info, bytes("0003", "00000200 00001000 02000000"))
            + reply(.go, .info, bytes("00ff", "0102030405"))
            + reply(.go, .info, information)
            + reply(.go, .info, bytes("0002") + text("fast ü"))
            + reply(.go, .info, bytes("0001") + text("canonical"))
            + reply(.go, .ack)
        let sizes = BlockSizes(minimum: 512, preferred: 4096, maximumPayload: 32 << 20)
        #expect(
            play(.open(export: ""), input).end
                == .transmit(export("", description: "fast ü", blockSizes: sizes)))
    }

    @Test(
        "the client ignores block sizes that the specification does not allow",
        arguments: [
            "00000000 00001000 02000000", "00000300 00001000 02000000",
            "00020000 00020000 02000000",
            "00000200 00000100 02000000", "00000200 00001800 02000000",
            "00001000 00001000 00000800",
            "00001000 00001000 02000001",
        ])
    func impossibleBlockSizes(sizes: String) {
        let input =
            greeting + reply(.go, .info, bytes("0003", sizes)) + reply(.go, .info, information)
            + reply(.go, .ack)
        #expect(play(.open(export: ""), input).end == .transmit(export("")))
    }

    @Test("a payload limit with all bits set means no limit")
    func noPayloadLimit() {
        #expect(BlockSizes(minimum: 512, preferred: 4096, maximumPayload: .max) != nil)
    }

    @Test("GO without size and flags before ACK fails")
    func goWithoutInformation() {
        let conversation = play(.open(export: ""), greeting + reply(.go, .ack))
        #expect(conversation.end == .fail(.malformedReply(.go)))
    }

    @Test(
        "information of a wrong length fails",
        arguments: [
            "", "00", "0000 0000000002800000", "0000 0000000002800000 0021 00",
            "0003 00000200 00001000", "0003 00000200 00001000 02000000 00", "0002 c328", "0002 00",
        ])
    func malformedInformation(data: String) {
        let conversation = play(.open(export: ""), greeting + reply(.go, .info, bytes(data)))
        #expect(conversation.end == .fail(.malformedReply(.go)))
    }

    @Test("an error reply returns the server's message, and the client sends ABORT")
    func refusal() {
        let input = greeting + reply(.go, .unknownExport, text("no such thing"))
        let conversation = play(.open(export: "x"), input)
        let failure = ClientNegotiation.Failure.refused(
            .go, .unknownExport, message: "no such thing")
        #expect(conversation.end == .fail(failure))
        #expect(conversation.output == flags + go("x") + option(.abort))
        #expect(failure.description == "the server rejected NBD_OPT_GO: no such thing")
    }

    @Test("an error without a message is explained; control characters are replaced")
    func refusalText() {
        func description(_ code: OptionReplyCode, _ message: String) -> String {
            ClientNegotiation.Failure.refused(.go, code, message: message).description
        }
        #expect(description(.tlsRequired, "").hasSuffix("it requires TLS first"))
        #expect(description(OptionReplyCode(rawValue: 1 << 31 | 77), "").hasSuffix("error 77"))
        #expect(description(.policy, "a\u{1b}[2Jb\n").hasSuffix(": a [2Jb "))
    }

    @Test("an error message that is not UTF-8, or too long, is still an error")
    func refusalOfBadText() {
        let bad = play(.open(export: ""), greeting + reply(.go, .policy, bytes("61c328")))
        #expect(bad.end == .fail(.refused(.go, .policy, message: "a\u{fffd}(")))
        let long = [UInt8](repeating: 0x61, count: 5000)
        let end = play(.open(export: ""), greeting + reply(.go, .policy, long)).end
        let kept = String(repeating: "a", count: 4096)
        #expect(end == .fail(.refused(.go, .policy, message: kept)))
    }

    // MARK: - EXPORT_NAME

    @Test("a server without GO gets EXPORT_NAME")
    func fallback() {
        let input =
            greeting + reply(.go, .unsupported, text("what?"))
            + bytes("0000000002800000", "0021")
        let conversation = play(.open(export: "abc"), input + text("transmission"))
        #expect(conversation.output == flags + go("abc") + option(.exportName, text("abc")))
        #expect(conversation.end == .transmit(export("abc")))
        #expect(conversation.unread == 12)
    }

    @Test("without NO_ZEROES, the client discards 124 zeroes")
    func zeroes() {
        let greeting = Greeting(flags: [.fixedNewstyle]).encoded
        let answer = bytes("0000000002800000", "0021") + [UInt8](repeating: 0, count: 124)
        let input = greeting + reply(.go, .unsupported) + answer + text("rest")
        let conversation = play(.open(export: ""), input)
        #expect(conversation.end == .transmit(export("")))
        #expect(conversation.unread == 4)
    }

    @Test("a server without fixed newstyle gets only EXPORT_NAME")
    func plainNewstyle() {
        let greeting = Greeting(flags: []).encoded
        let answer = bytes("0000000002800000", "0021") + [UInt8](repeating: 0, count: 124)
        let conversation = play(.open(export: "a"), greeting + answer)
        #expect(conversation.output == bytes("00000000") + option(.exportName, text("a")))
        #expect(conversation.end == .transmit(export("a")))
    }

    @Test("a client that accepts no flags reads the zeroes")
    func fewerFlags() {
        let answer = bytes("0000000002800000", "0021") + [UInt8](repeating: 0, count: 124)
        let conversation = play(.open(export: "a"), greeting + answer, flags: [])
        #expect(conversation.output == bytes("00000000") + option(.exportName, text("a")))
        #expect(conversation.end == .transmit(export("a")))
    }

    @Test("a server that closes after EXPORT_NAME has no such export")
    func closedAtExportName() {
        let input = greeting + reply(.go, .unsupported)
        let end = play(.open(export: "abc"), input, isClosed: true).end
        #expect(end == .fail(.exportNameRefused("abc")))
    }

    // MARK: - LIST

    @Test("LIST: names and descriptions in the server's order, then ABORT")
    func list() {
        let input =
            greeting + reply(.list, .server, bytes("00000005") + text("firstramdisk"))
            + reply(.list, .server, bytes("00000000"))
            + reply(.list, .ack)
        let conversation = play(.list, input)
        #expect(conversation.output == flags + option(.list) + option(.abort))
        #expect(
            conversation.end
                == .listed([
                    ExportListing(name: "first", description: "ramdisk"),
                    ExportListing(name: "", description: ""),
                ]))
    }

    @Test("LIST: no exports, and a server that rejects it")
    func emptyList() {
        #expect(play(.list, greeting + reply(.list, .ack)).end == .listed([]))
        let refused = play(.list, greeting + reply(.list, .policy))
        #expect(refused.end == .fail(.refused(.list, .policy, message: "")))
        let plain = play(.list, Greeting(flags: [.noZeroes]).encoded)
        #expect(plain.end == .fail(.notFixedNewstyle))
        #expect(plain.output.isEmpty)
    }

    @Test(
        "LIST: an overlong or invalid name fails",
        arguments: [
            bytes("000000"), bytes("00000004 616263"), bytes("ffffffff 61"), bytes("00000002 c328"),
            bytes("00000001 00"), bytes("00001001") + [UInt8](repeating: 0x61, count: 4097),
        ])
    func malformedListing(data: [UInt8]) {
        let end = play(.list, greeting + reply(.list, .server, data)).end
        #expect(end == .fail(.malformedReply(.list)))
    }

    @Test("LIST: the number of entries is limited")
    func endlessList() {
        var negotiation = ClientNegotiation(.list)
        _ = negotiation.receive(greeting)
        let header = OptionReplyHeader(option: .list, code: .server, length: 4).encoded
        for _ in 0..<Limits.optionReplyCount {
            #expect(negotiation.receive(header).action == .receive(4))
            #expect(negotiation.receive([0, 0, 0, 0]).action == .receive(20))
        }
        #expect(negotiation.receive(header).action == .fail(.tooManyReplies))
    }

    // MARK: - Malformed replies

    @Test("a reply with a wrong magic number, option, length or type fails")
    func wrongReplies() {
        func end(_ reply: [UInt8]) -> ClientNegotiation.Action? {
            play(.open(export: ""), greeting + reply).end
        }
        #expect(end([UInt8](repeating: 0, count: 20)) == .fail(.replyMagic))
        #expect(end(reply(.list, .ack)) == .fail(.wrongReply(.go, .list)))
        #expect(end(reply(.go, .server)) == .fail(.unexpectedReply(.go, .server)))
        let long = OptionReplyHeader(option: .go, code: .info, length: 65_537).encoded
        #expect(end(long) == .fail(.replyLength(65_537)))
    }

    @Test("a connection that closes, at any byte, fails")
    func closedAnywhere() {
        let input = greeting + reply(.go, .info, information) + reply(.go, .ack)
        for count in 0..<input.count {
            let conversation = play(
                .open(export: ""), Array(input.prefix(count)), isClosed: true)
            #expect(conversation.end == .fail(.closed))
        }
    }

    @Test("every failure is one sentence")
    func sentences() {
        let failures: [ClientNegotiation.Failure] = [
            .notNBD, .oldstyle, .notFixedNewstyle, .refused(.go, .tooBig, message: ""),
            .exportNameRefused("x"), .closed, .replyMagic, .wrongReply(.go, .list),
            .unexpectedReply(.go, .server), .malformedReply(.list), .replyLength(1),
            .tooManyReplies,
        ]
        for failure in failures {
            #expect(!failure.description.isEmpty && !failure.description.hasSuffix("."))
        }
    }

    // MARK: - Both halves together

    @Test("both halves of the handshake work together", arguments: [true, false])
    func together(isFixed: Bool) {
        let exports = [ExportInfo(name: "a", description: "b", size: 4096, flags: [.hasFlags])]
        var server = ServerNegotiation(exports: exports)
        var client = ClientNegotiation(
            .open(export: "a"), flags: isFixed ? [.fixedNewstyle, .noZeroes] : [])
        var toClient = server.start().output
        var toServer: [UInt8] = []
        var clientStep = client.start()
        var serverAction = server.start().action
        while true {
            if case .receive(let count) = clientStep.action, toClient.count >= count {
                clientStep = client.receive(Array(toClient.prefix(count)))
                toClient.removeFirst(count)
                toServer += clientStep.output
            } else if case .receive(let count) = serverAction, toServer.count >= count {
                let step = server.receive(Array(toServer.prefix(count)))
                toServer.removeFirst(count)
                toClient += step.output
                serverAction = step.action
            } else {
                break
            }
        }
        #expect(serverAction == .serve(agreed(0)))
        guard case .transmit(let export) = clientStep.action else {
            Issue.record("the client ended with \(clientStep.action)")
            return
        }
        #expect(export.size == 4096 && export.flags == [.hasFlags])
        #expect(export.description == (isFixed ? "b" : ""))
        #expect((export.blockSizes != nil) == isFixed)
    }
}
