/// Cases about `NBD_OPT_GO`, the flags in its reply, and `NBD_OPT_STRUCTURED_REPLY`.
extension ConformanceSuite {
    private static let section = "NBD_OPT_INFO and NBD_OPT_GO"
    private static let flagsSection = "Transmission flags"

    static let goCases: [ConformanceCase] = [
        negotiating(
            "opt-go", .must, "Baseline",
            "GO MUST be implemented, and leads to the transmission phase"
        ) { dialogue in
            try dialogue.go(dialogue.exportName)
            try dialogue.expectAlive()
        },
        ConformanceCase(
            "opt-go-no-zeroes", .must, section,
            "the server MUST NOT send zero padding after the NBD_REP_ACK, NO_ZEROES or not"
        ) { peer in
            let dialogue = try peer.beginOptions(flags: 1)
            try dialogue.go(peer.exportName)
            try dialogue.expectAlive()
        },
        negotiating(
            "opt-go-after-refusal", .must, section,
            "after a final reply that is an error, further options may be sent",
            needs: [.refusedNames]
        ) { dialogue in
            let end = try dialogue.ask(Option.go, information("no such export, surely")).end
            try expect(end.isError, "the reply is \(end)")
            try dialogue.go(dialogue.exportName)
            try dialogue.expectAlive()
        },
        negotiating(
            "opt-go-unknown-type", .must, section,
            "the server MUST ignore any information requests it does not understand"
        ) { dialogue in
            try dialogue.go(dialogue.exportName, ask: [Information.unknown, 0xffff])
            try dialogue.expectAlive()
        },
        negotiating(
            "opt-go-has-flags", .must, flagsSection, "NBD_FLAG_HAS_FLAGS MUST always be 1"
        ) { dialogue in
            try dialogue.go(dialogue.exportName)
            try expect(
                dialogue.export.flags.contains(.hasFlags),
                "the flags are \(hex(dialogue.export.flags.rawValue))")
        },
        negotiating(
            "opt-go-no-df", .must, flagsSection,
            "NBD_FLAG_SEND_DF MUST be clear if structured replies have not been negotiated"
        ) { dialogue in
            try dialogue.go(dialogue.exportName)
            try expect(
                !dialogue.export.flags.contains(.dontFragment),
                "the reply to GO has NBD_FLAG_SEND_DF")
        },
        negotiating(
            "opt-go-fast-zero-flag", .must, flagsSection,
            "FAST_ZERO MUST be 0 if NBD_FLAG_SEND_WRITE_ZEROES is not set"
        ) { dialogue in
            try dialogue.go(dialogue.exportName)
            let flags = dialogue.export.flags
            try expect(
                !flags.contains(.fastZero) || flags.contains(.writeZeroes),
                "the flags are \(hex(flags.rawValue))")
        },
        negotiating(
            "opt-go-no-status-payload", .must, flagsSection,
            "NBD_FLAG_BLOCK_STATUS_PAYLOAD MUST NOT be set without extended headers"
        ) { dialogue in
            try dialogue.go(dialogue.exportName)
            try expect(
                !dialogue.export.flags.contains(.blockStatusPayload),
                "the reply to GO has NBD_FLAG_BLOCK_STATUS_PAYLOAD")
        },
    ]

    static let structuredReplyCases: [ConformanceCase] = [
        negotiating(
            "opt-structured-reply", .must, "NBD_OPT_STRUCTURED_REPLY",
            "the reply is NBD_REP_ACK or a permitted error"
        ) { dialogue in
            let end = try dialogue.ask(Option.structuredReply).end
            try expect(end.isFinal, "the reply is \(end)")
            try dialogue.expectNegotiating()
        },
        negotiating(
            "opt-structured-reply-with-data", .should, "NBD_OPT_STRUCTURED_REPLY",
            "the server SHOULD reject a request with data with NBD_REP_ERR_INVALID",
            needs: [.structuredReplies]
        ) { dialogue in
            let end = try dialogue.ask(Option.structuredReply, [1]).end
            try expect(end.code == Reply.invalid, "the reply is \(end)")
            try dialogue.expectNegotiating()
        },
        negotiating(
            "opt-structured-reply-twice", .must, "Fixed newstyle negotiation",
            "a repeated message MAY fail with NBD_REP_ERR_INVALID; the handshake continues",
            needs: [.structuredReplies]
        ) { dialogue in
            try dialogue.negotiate(.structured)
            let end = try dialogue.ask(Option.structuredReply).end
            try expect([Reply.ack, Reply.invalid].contains(end.code), "the reply is \(end)")
            try dialogue.go(dialogue.exportName)
            try dialogue.expectAlive()
        },
        negotiating(
            "opt-structured-reply-export-name", .must, "NBD_OPT_STRUCTURED_REPLY",
            "with it negotiated, READ gets structured replies, also after EXPORT_NAME",
            needs: [.structuredReplies]
        ) { dialogue in
            try dialogue.negotiate(.structured)
            try dialogue.send(option: Option.exportName, Array(dialogue.exportName.utf8))
            let hasZeroes = dialogue.handshakeFlags & HandshakeFlag.noZeroes == 0
            _ = try dialogue.channel.receive(hasZeroes ? 134 : 10)
            try dialogue.expectAlive()
        },
    ]
}
