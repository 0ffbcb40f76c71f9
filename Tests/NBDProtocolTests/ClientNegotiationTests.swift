// The client's half of the handshake, event by event: what it says, and what it makes of the answers.

import Testing

@testable import NBDProtocol

@Suite("The client's half of the handshake")
struct ClientNegotiationTests {
    /// How far a conversation came.
    struct Conversation {
        var output: [UInt8]
        /// Nil when more input is wanted.
        var end: ClientNegotiation.Next?
        var unread: Int
    }

    /// Plays a whole handshake: what the server sends, answered by what the client says, and how it
    /// ended. `isClosed` is whether the server closes the connection after its last byte.
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
            guard case .receive(let count) = step.next else {
                return Conversation(output: output, end: step.next, unread: input.count)
            }
            if input.count >= count {
                step = negotiation.receive(Array(input.prefix(count)))
                input = input.dropFirst(count)
            } else if isClosed {
                step = negotiation.ended()
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
        "structured replies and extended headers are asked for first, and had before the export",
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
        #expect(step.next == .fail(.refused(code, .unsupported, message: "")))
    }

    // MARK: - The greeting

    @Test("nothing is said before the server has greeted")
    func start() {
        let step = ClientNegotiation(.open(export: "")).start()
        #expect(step == ClientNegotiation.Step(output: [], next: .receive(18)))
    }

    @Test("flags and GO go out at once: the bytes of both")
    func firstMessage() {
        let expected = bytes(
            "00000003",
            "49484156454f5054", "00000007", "0000000d",
            "00000003", "616263",
            "0002", "0002", "0003")
        #expect(play(.open(export: "abc"), greeting).output == expected)
    }

    @Test("only flags that the server offers are taken up", arguments: 0...3 as ClosedRange<UInt16>)
    func clientFlags(offered: UInt16) {
        let greeting = Greeting(flags: HandshakeFlags(rawValue: offered)).encoded
        let output = play(.open(export: ""), greeting).output
        #expect(output.prefix(4) == [0, 0, 0, UInt8(offered)])
    }

    @Test("flags of later versions of the protocol are left alone")
    func unknownHandshakeFlags() {
        let greeting = Greeting(flags: HandshakeFlags(rawValue: 0xffff)).encoded
        #expect(play(.open(export: ""), greeting).output.prefix(4) == [0, 0, 0, 3])
    }

    @Test("what is no NBD server, or an old one, is told apart")
    func otherGreetings() {
        #expect(play(.list, text("SSH-2.0-OpenSSH_9.2p1")).end == .fail(.notNBD))
        let oldstyle = bytes("4e42444d41474943", "0000420281861253", "0000000002800000")
        #expect(play(.list, oldstyle).end == .fail(.oldstyle))
        #expect(
            play(.list, bytes("4e42444d41474943", "0000000000000000", "0003")).end == .fail(.notNBD)
        )
    }

    // MARK: - GO

    @Test("GO: size and flags, then the acknowledgement, and not a byte of what follows it")
    func goWorks() {
        let input =
            greeting + reply(.go, .info, information) + reply(.go, .ack) + text("transmission")
        let conversation = play(.open(export: "abc"), input)
        #expect(conversation.output == flags + go("abc"))
        #expect(conversation.end == .transmit(export("abc")))
        #expect(conversation.unread == 12)
    }

    @Test("GO: description and block sizes are kept, unknown information is ignored")
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
        "block sizes that the specification rules out are as good as none",
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

    @Test("no payload limit is a limit of all ones")
    func noPayloadLimit() {
        #expect(BlockSizes(minimum: 512, preferred: 4096, maximumPayload: .max) != nil)
    }

    @Test("GO without size and flags before the acknowledgement is refused")
    func goWithoutInformation() {
        let conversation = play(.open(export: ""), greeting + reply(.go, .ack))
        #expect(conversation.end == .fail(.malformedReply(.go)))
    }

    @Test(
        "information of a wrong length is refused",
        arguments: [
            "", "00", "0000 0000000002800000", "0000 0000000002800000 0021 00",
            "0003 00000200 00001000", "0003 00000200 00001000 02000000 00", "0002 c328", "0002 00",
        ])
    func malformedInformation(data: String) {
        let conversation = play(.open(export: ""), greeting + reply(.go, .info, bytes(data)))
        #expect(conversation.end == .fail(.malformedReply(.go)))
    }

    @Test("a refusal carries the server's words, and the client says good-bye")
    func refusal() {
        let input = greeting + reply(.go, .unknownExport, text("no such thing"))
        let conversation = play(.open(export: "x"), input)
        let failure = ClientNegotiation.Failure.refused(
            .go, .unknownExport, message: "no such thing")
        #expect(conversation.end == .fail(failure))
        #expect(conversation.output == flags + go("x") + option(.abort))
        #expect(failure.description == "the server refused NBD_OPT_GO: no such thing")
    }

    @Test("a refusal without words gets ours; control characters do not reach a terminal")
    func refusalText() {
        func description(_ code: OptionReplyCode, _ message: String) -> String {
            ClientNegotiation.Failure.refused(.go, code, message: message).description
        }
        #expect(description(.tlsRequired, "").hasSuffix("it wants TLS first"))
        #expect(description(OptionReplyCode(rawValue: 1 << 31 | 77), "").hasSuffix("error 77"))
        #expect(description(.policy, "a\u{1b}[2Jb\n").hasSuffix(": a [2Jb "))
    }

    @Test("a refusal whose text is no UTF-8, or too long, is still a refusal")
    func refusalOfBadText() {
        let bad = play(.open(export: ""), greeting + reply(.go, .policy, bytes("61c328")))
        #expect(bad.end == .fail(.refused(.go, .policy, message: "a\u{fffd}(")))
        let long = [UInt8](repeating: 0x61, count: 5000)
        let end = play(.open(export: ""), greeting + reply(.go, .policy, long)).end
        let kept = String(repeating: "a", count: 4096)
        #expect(end == .fail(.refused(.go, .policy, message: kept)))
    }

    // MARK: - EXPORT_NAME

    @Test("a server that does not know GO is asked with EXPORT_NAME")
    func fallback() {
        let input =
            greeting + reply(.go, .unsupported, text("what?"))
            + bytes("0000000002800000", "0021")
        let conversation = play(.open(export: "abc"), input + text("transmission"))
        #expect(conversation.output == flags + go("abc") + option(.exportName, text("abc")))
        #expect(conversation.end == .transmit(export("abc")))
        #expect(conversation.unread == 12)
    }

    @Test("without NO_ZEROES, 124 zeroes are read away")
    func zeroes() {
        let greeting = Greeting(flags: [.fixedNewstyle]).encoded
        let answer = bytes("0000000002800000", "0021") + [UInt8](repeating: 0, count: 124)
        let input = greeting + reply(.go, .unsupported) + answer + text("rest")
        let conversation = play(.open(export: ""), input)
        #expect(conversation.end == .transmit(export("")))
        #expect(conversation.unread == 4)
    }

    @Test("a server without fixed newstyle is asked with EXPORT_NAME alone")
    func plainNewstyle() {
        let greeting = Greeting(flags: []).encoded
        let answer = bytes("0000000002800000", "0021") + [UInt8](repeating: 0, count: 124)
        let conversation = play(.open(export: "a"), greeting + answer)
        #expect(conversation.output == bytes("00000000") + option(.exportName, text("a")))
        #expect(conversation.end == .transmit(export("a")))
    }

    @Test("a client that takes up no flags is asked to read the zeroes")
    func fewerFlags() {
        let answer = bytes("0000000002800000", "0021") + [UInt8](repeating: 0, count: 124)
        let conversation = play(.open(export: "a"), greeting + answer, flags: [])
        #expect(conversation.output == bytes("00000000") + option(.exportName, text("a")))
        #expect(conversation.end == .transmit(export("a")))
    }

    @Test("a connection that closes instead of an answer means: no such export")
    func closedAtExportName() {
        let input = greeting + reply(.go, .unsupported)
        let end = play(.open(export: "abc"), input, isClosed: true).end
        #expect(end == .fail(.exportNameRefused("abc")))
    }

    // MARK: - LIST

    @Test("LIST: names and descriptions, in the server's order, and good-bye")
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

    @Test("LIST: no exports, and a server that does not tell")
    func emptyList() {
        #expect(play(.list, greeting + reply(.list, .ack)).end == .listed([]))
        let refused = play(.list, greeting + reply(.list, .policy))
        #expect(refused.end == .fail(.refused(.list, .policy, message: "")))
        let plain = play(.list, Greeting(flags: [.noZeroes]).encoded)
        #expect(plain.end == .fail(.notFixedNewstyle))
        #expect(plain.output.isEmpty)
    }

    @Test(
        "LIST: a name longer than the data, too long, no UTF-8 or with a NUL is refused",
        arguments: [
            bytes("000000"), bytes("00000004 616263"), bytes("ffffffff 61"), bytes("00000002 c328"),
            bytes("00000001 00"), bytes("00001001") + [UInt8](repeating: 0x61, count: 4097),
        ])
    func malformedListing(data: [UInt8]) {
        let end = play(.list, greeting + reply(.list, .server, data)).end
        #expect(end == .fail(.malformedReply(.list)))
    }

    @Test("LIST: a list has an end")
    func endlessList() {
        var negotiation = ClientNegotiation(.list)
        _ = negotiation.receive(greeting)
        let header = OptionReplyHeader(option: .list, code: .server, length: 4).encoded
        for _ in 0..<Limits.optionReplyCount {
            #expect(negotiation.receive(header).next == .receive(4))
            #expect(negotiation.receive([0, 0, 0, 0]).next == .receive(20))
        }
        #expect(negotiation.receive(header).next == .fail(.tooManyReplies))
    }

    // MARK: - Replies that are not as they must be

    @Test("a reply without its magic, to another option, too long, or of a strange type ends it")
    func wrongReplies() {
        func end(_ reply: [UInt8]) -> ClientNegotiation.Next? {
            play(.open(export: ""), greeting + reply).end
        }
        #expect(end([UInt8](repeating: 0, count: 20)) == .fail(.replyMagic))
        #expect(end(reply(.list, .ack)) == .fail(.wrongReply(.go, .list)))
        #expect(end(reply(.go, .server)) == .fail(.unexpectedReply(.go, .server)))
        let long = OptionReplyHeader(option: .go, code: .info, length: 65_537).encoded
        #expect(end(long) == .fail(.replyLength(65_537)))
    }

    @Test("a connection that closes, at any byte, is an end and no crash")
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

    @Test("both halves of the handshake understand each other", arguments: [true, false])
    func together(isFixed: Bool) {
        let exports = [ExportInfo(name: "a", description: "b", size: 4096, flags: [.hasFlags])]
        var server = ServerNegotiation(exports: exports)
        var client = ClientNegotiation(
            .open(export: "a"), flags: isFixed ? [.fixedNewstyle, .noZeroes] : [])
        var toClient = server.start().output
        var toServer: [UInt8] = []
        var clientStep = client.start()
        var serverNext = server.start().next
        while true {
            if case .receive(let count) = clientStep.next, toClient.count >= count {
                clientStep = client.receive(Array(toClient.prefix(count)))
                toClient.removeFirst(count)
                toServer += clientStep.output
            } else if case .receive(let count) = serverNext, toServer.count >= count {
                let step = server.receive(Array(toServer.prefix(count)))
                toServer.removeFirst(count)
                toClient += step.output
                serverNext = step.next
            } else {
                break
            }
        }
        #expect(serverNext == .serve(agreed(0)))
        guard case .transmit(let export) = clientStep.next else {
            Issue.record("the client ended with \(clientStep.next)")
            return
        }
        #expect(export.size == 4096 && export.flags == [.hasFlags])
        #expect(export.description == (isFixed ? "b" : ""))
        #expect((export.blockSizes != nil) == isFixed)
    }
}
