import Testing

@testable import NBDProtocol

@Suite("STARTTLS in the server's half of the handshake")
struct StartTLSTests {
    /// Returns a handshake with a policy, before its first option.
    func begin(_ policy: TLSPolicy, flags: UInt8 = 3) -> ServerNegotiation {
        var negotiation = ServerNegotiation(exports: twoExports, tls: policy)
        _ = negotiation.start()
        _ = negotiation.receive([0, 0, 0, flags])
        return negotiation
    }

    /// Sends an option, and returns the reply and the next action.
    func ask(
        _ negotiation: inout ServerNegotiation, _ code: OptionCode, _ data: [UInt8] = []
    ) -> (reply: OptionReplyCode?, action: ServerNegotiation.Action) {
        let header = OptionHeader(code: code, length: UInt32(data.count)).encoded
        var step = negotiation.receive(header)
        if case .receive = step.action, !data.isEmpty { step = negotiation.receive(data) }
        if case .discard = step.action { step = negotiation.didDiscard() }
        let reply = OptionReplyHeader(decoding: unsafe step.output.span.bytes)
        return (reply?.code, step.action)
    }

    private let more = ServerNegotiation.Action.receive(OptionHeader.encodedSize)
    private let first = InfoRequest(exportName: "first").encoded

    @Test(
        "off: STARTTLS is like any unknown option, and TLS_REQD is never sent")
    func off() {
        var negotiation = begin(.off)
        for code in [3, 4, 6, 7, 8, 9, 10, 11, 99] as [UInt32] {
            let answer = ask(&negotiation, OptionCode(rawValue: code))
            #expect(answer.reply != .tlsRequired, "option \(code)")
        }
        #expect(ask(&negotiation, .startTLS) == (.unsupported, more))
    }

    @Test(
        "required: every option except STARTTLS and ABORT needs TLS first, even unknown ones",
        arguments: [3, 4, 6, 7, 8, 9, 10, 11, 99, 0xffff_ffff] as [UInt32])
    func required(code: UInt32) {
        var negotiation = begin(.required)
        let option = OptionCode(rawValue: code)
        #expect(ask(&negotiation, option) == (.tlsRequired, more))
        #expect(ask(&negotiation, option, first) == (.tlsRequired, more))
        let tooLong = [UInt8](repeating: 0, count: Limits.optionDataKept + 1)
        #expect(ask(&negotiation, option, tooLong) == (.tlsRequired, more))
    }

    @Test("required: a server that stops still replies TLS_REQD")
    func requiredWhileStopping() {
        var negotiation = begin(.required)
        negotiation.isShuttingDown = true
        #expect(ask(&negotiation, .list) == (.tlsRequired, more))
        #expect(ask(&negotiation, .startTLS) == (.shutdown, more))
    }

    @Test("required: EXPORT_NAME, which has no error reply, ends the connection")
    func requiredExportName() {
        for name in ["", "first", "unknown"] {
            var negotiation = begin(.required)
            let answer = ask(&negotiation, .exportName, Array(name.utf8))
            #expect(answer == (nil, .fail(.exportNameWithoutTLS)), "\(name)")
        }
    }

    @Test("ABORT is acknowledged with every policy", arguments: TLSPolicy.allCases)
    func abort(policy: TLSPolicy) {
        var negotiation = begin(policy)
        #expect(ask(&negotiation, .abort) == (.ack, .finish))
    }

    @Test("STARTTLS is acknowledged, and TLS must start before another byte is read")
    func started() {
        for policy in [TLSPolicy.on, .required] {
            var negotiation = begin(policy)
            #expect(ask(&negotiation, .startTLS) == (.ack, .startTLS))
            let step = negotiation.didStartTLS()
            #expect(step.output.isEmpty)
            #expect(step.action == more)
            #expect(ask(&negotiation, .go, first).action == .serve(agreed(0)))
        }
    }

    @Test("after it TLS_REQD is never sent, and EXPORT_NAME serves")
    func secured() {
        for code in [3, 6, 8, 9, 10, 11, 99] as [UInt32] {
            var negotiation = begin(.required)
            _ = ask(&negotiation, .startTLS)
            _ = negotiation.didStartTLS()
            let answer = ask(&negotiation, OptionCode(rawValue: code), first)
            #expect(answer.reply != .tlsRequired, "option \(code)")
        }
        var negotiation = begin(.required)
        _ = ask(&negotiation, .startTLS)
        _ = negotiation.didStartTLS()
        #expect(ask(&negotiation, .exportName).action == .serve(agreed(0)))
    }

    @Test("what was negotiated before it is dropped")
    func forgotten() {
        var negotiation = begin(.on)
        #expect(ask(&negotiation, .extendedHeaders) == (.ack, more))
        #expect(ask(&negotiation, .structuredReply) == (.extendedHeaderRequired, more))
        #expect(ask(&negotiation, .startTLS) == (.ack, .startTLS))
        _ = negotiation.didStartTLS()
        #expect(ask(&negotiation, .structuredReply) == (.ack, more))
    }

    @Test("on: the handshake also works in plain text")
    func plain() {
        var negotiation = begin(.on)
        #expect(ask(&negotiation, .list).reply == .server)
        #expect(ask(&negotiation, .go, first).action == .serve(agreed(0)))
    }

    @Test(
        "a second STARTTLS is invalid, and so is one with data",
        arguments: [TLSPolicy.on, .required])
    func invalid(policy: TLSPolicy) {
        var negotiation = begin(policy)
        #expect(ask(&negotiation, .startTLS, [1]) == (.invalid, more))
        #expect(ask(&negotiation, .startTLS) == (.ack, .startTLS))
        _ = negotiation.didStartTLS()
        #expect(ask(&negotiation, .startTLS) == (.invalid, more))
        #expect(ask(&negotiation, .startTLS, [1]) == (.invalid, more))
    }

    @Test(
        "a client without fixed newstyle cannot use STARTTLS, and cannot connect if TLS is required"
    )
    func notFixed() {
        for flags in [0, 2] as [UInt8] {
            var negotiation = begin(.required, flags: flags)
            #expect(ask(&negotiation, .startTLS) == (.policy, more))
            #expect(ask(&negotiation, .list) == (.tlsRequired, more))
            #expect(ask(&negotiation, .exportName).action == .fail(.exportNameWithoutTLS))
        }
    }

    @Test("options before it count towards the limit")
    func optionCount() {
        var negotiation = begin(.on)
        for _ in 1..<Limits.optionCount(exports: 2) { _ = ask(&negotiation, .list) }
        #expect(ask(&negotiation, .startTLS) == (.ack, .startTLS))
        _ = negotiation.didStartTLS()
        #expect(ask(&negotiation, .list).action == .fail(.tooManyOptions))
    }
}
