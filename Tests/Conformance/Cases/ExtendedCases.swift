/// Cases about `NBD_OPT_EXTENDED_HEADERS`, and lengths of 64 bits.
extension ConformanceSuite {
    private static let section = "NBD_OPT_EXTENDED_HEADERS"

    static let extendedOptionCases: [ConformanceCase] = [
        negotiating(
            "opt-extended-headers", .must, section,
            "the reply is NBD_REP_ACK or a permitted error"
        ) { dialogue in
            let end = try dialogue.ask(Option.extendedHeaders).end
            try expect(end.isFinal, "the reply is \(end)")
            try dialogue.expectNegotiating()
        },
        negotiating(
            "opt-extended-headers-alone", .should, section,
            "a server SHOULD support it even if structured replies are not negotiated",
            needs: [.extendedHeaders]
        ) { dialogue in
            try dialogue.negotiate(.extended)
            try dialogue.go(dialogue.exportName)
            try dialogue.expectAlive()
        },
        negotiating(
            "opt-extended-headers-after-structured", .must, section,
            "a client MAY request structured replies first; extended headers take precedence",
            needs: [.extendedHeaders, .structuredReplies]
        ) { dialogue in
            try dialogue.negotiate(.structured)
            try dialogue.negotiate(.extended)
            try dialogue.go(dialogue.exportName)
            try dialogue.expectAlive()
        },
        negotiating(
            "opt-extended-headers-with-data", .should, section,
            "the server SHOULD reject a request with data with NBD_REP_ERR_INVALID",
            needs: [.extendedHeaders]
        ) { dialogue in
            let end = try dialogue.ask(Option.extendedHeaders, [1]).end
            try expect(end.code == Reply.invalid, "the reply is \(end)")
            try dialogue.expectNegotiating()
        },
        negotiating(
            "opt-extended-headers-twice", .must, "Fixed newstyle negotiation",
            "a repeated message MAY fail with NBD_REP_ERR_INVALID; the handshake continues",
            needs: [.extendedHeaders]
        ) { dialogue in
            try dialogue.negotiate(.extended)
            let end = try dialogue.ask(Option.extendedHeaders).end
            try expect([Reply.ack, Reply.invalid].contains(end.code), "the reply is \(end)")
            try dialogue.go(dialogue.exportName)
            try dialogue.expectAlive()
        },
        negotiating(
            "opt-structured-reply-after-extended", .should, "NBD_OPT_STRUCTURED_REPLY",
            "NBD_REP_ERR_EXT_HEADER_REQD: extended headers take precedence over this option",
            needs: [.extendedHeaders]
        ) { dialogue in
            try dialogue.negotiate(.extended)
            let end = try dialogue.ask(Option.structuredReply).end
            try expect(end.code == Reply.extendedHeadersRequired, "the reply is \(end)")
            try dialogue.go(dialogue.exportName)
            try dialogue.expectAlive()
        },
        negotiating(
            "opt-go-extended", .must, "NBD_OPT_INFO and NBD_OPT_GO",
            "with extended headers negotiated, the server MUST NOT fail GO with ERR_UNSUP",
            needs: [.extendedHeaders]
        ) { dialogue in
            try dialogue.negotiate(.extended)
            let end = try dialogue.ask(Option.go, information(dialogue.exportName)).end
            try expect(end.code == Reply.ack, "the reply is \(end)")
        },
        negotiating(
            "opt-set-meta-extended", .must, "NBD_OPT_SET_META_CONTEXT",
            "contexts can be selected with structured replies or extended headers",
            needs: [.extendedHeaders, .allocationContext]
        ) { dialogue in
            try dialogue.negotiate(.extended)
            let answer = try dialogue.setContexts(["base:allocation"])
            try expect(answer.end.code == Reply.ack, "the reply is \(answer.end)")
            try expect(dialogue.contexts.count == 1, "no context is selected")
        },
        negotiating(
            "opt-go-status-payload-needs-contexts", .should, "Transmission flags",
            "BLOCK_STATUS_PAYLOAD SHOULD NOT be advertised if no contexts were negotiated",
            needs: [.extendedHeaders]
        ) { dialogue in
            try dialogue.negotiate(.extended)
            try dialogue.go(dialogue.exportName)
            try expect(
                !dialogue.export.flags.contains(.blockStatusPayload), "it is advertised")
        },
    ]

    /// Rules of extended headers only. The rules for every mode also apply to extended mode.
    static let extendedCases: [ConformanceCase] = [
        transmitting(
            .extended, "replies-only", .must, "Extended reply chunk message",
            "all replies MUST be extended ones, with the request's offset", needs: [.writable]
        ) { dialogue in
            let size = dialogue.export.size
            for request in [
                Request.read(8192, 4096), .write(12288, pattern(4096)), .flush(),
                .read(size, 4096), .write(size, pattern(4096)), .trim(4096, 4096),
                .writeZeroes(20480, 4096), .cache(8192, 4096),
                Request(command: Command.unknown, offset: 12345),
            ] {
                let answer = try dialogue.call(request)
                try expect(
                    !answer.isSimple, "the reply to command \(request.command) is a simple one")
            }
        },
        status(
            .extended, "status-high-bits", .must, "NBD_REPLY_TYPE_BLOCK_STATUS_EXT",
            "contexts of base: MUST have zeroes in the upper 32 bits of a status"
        ) { dialogue in
            for extent in try extents(dialogue, .blockStatus(0, 1 << 20)) {
                try expect(extent.flags >> 32 == 0, "the status is \(hex(extent.flags))")
            }
        },
        status(
            .extended, "status-64-bit", .must, "Request message",
            "an effect length of more than 32 bits gets a reply with at least one extent",
            needs: [.size(5 << 30)]
        ) { dialogue in
            let size = dialogue.export.size
            let extents = try extents(dialogue, .blockStatus(0, size))
            try expect(!extents.isEmpty, "there is no extent")
        },
        long("trim-64-bit", .flag(.trim)) { .trim(0, $0) },
        long("write-zeroes-64-bit", .flag(.writeZeroes)) { .writeZeroes(0, $0) },
        long("cache-64-bit", .flag(.cache)) { .cache(0, $0) },
        transmitting(
            .extended, "beyond-end-64-bit", .should, "Error values",
            "a length near 2^64 is beyond the size of the device",
            needs: [.writable]
        ) { dialogue in
            try dialogue.fail(.trim(4096, .max - 4095), with: ErrorValue.invalid)
            try dialogue.fail(.writeZeroes(4096, .max - 4095), with: ErrorValue.noSpace)
            try dialogue.fail(.read(4096, .max - 4095), with: ErrorValue.invalid)
        },
    ]

    private static func long(
        _ name: String, _ need: Need, _ request: @escaping @Sendable (UInt64) -> Request
    ) -> ConformanceCase {
        transmitting(
            .extended, name, .should, "Size constraints",
            "an effect length of more than 32 bits succeeds, or is NBD_EOVERFLOW or NBD_EINVAL",
            needs: [.writable, need, .size(5 << 30)]
        ) { dialogue in
            let error = try dialogue.call(request(dialogue.export.size)).error
            try expect(
                [0, ErrorValue.overflow, ErrorValue.invalid].contains(error),
                "the error is \(error)")
        }
    }
}
