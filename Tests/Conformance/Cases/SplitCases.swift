/// Cases about messages that arrive in two parts, split at every position, since a stream has no message boundaries.
extension ConformanceSuite {
    private static let rule =
        "messages are a stream of bytes: it makes no difference where it is split"

    static let splitOptionCases: [ConformanceCase] = [
        ConformanceCase("split-client-flags", .must, "Newstyle negotiation", rule) { peer in
            for position in 1..<4 {
                let dialogue = try peer.connect()
                dialogue.channel.cut = .at(position)
                try dialogue.sendFlags(UInt32(dialogue.handshakeFlags & 3))
                try dialogue.expectNegotiating()
            }
        },
        ConformanceCase("split-opt-export-name", .must, "Newstyle negotiation", rule) { peer in
            let name = Array(peer.exportName.utf8)
            try eachCut(optionMessage(Option.exportName, name).count) { position in
                let dialogue = try peer.beginOptions()
                dialogue.channel.cut = .at(position)
                try dialogue.send(option: Option.exportName, name)
                let hasZeroes = dialogue.handshakeFlags & HandshakeFlag.noZeroes == 0
                _ = try dialogue.channel.receive(hasZeroes ? 134 : 10)
                dialogue.channel.cut = .whole
                try dialogue.expectAlive()
            }
        },
        ConformanceCase("split-opt-go", .must, "Newstyle negotiation", rule) { peer in
            let data = information(peer.exportName, everything)
            try eachCut(optionMessage(Option.go, data).count) { position in
                let dialogue = try peer.beginOptions()
                dialogue.channel.cut = .at(position)
                let end = try dialogue.ask(Option.go, data).end
                try expect(end.code == Reply.ack, "split at \(position), the reply is \(end)")
                dialogue.channel.cut = .whole
                try dialogue.expectAlive()
            }
        },
        ConformanceCase("split-opt-abort", .must, "Newstyle negotiation", rule) { peer in
            // Nil for a server that closes at once, which does not depend on the split.
            let whole = try answerToAbort(peer.beginOptions())
            try eachCut(optionMessage(Option.abort).count) { position in
                let dialogue = try peer.beginOptions()
                dialogue.channel.cut = .at(position)
                let code = try answerToAbort(dialogue)
                try expect(code == whole, "split at \(position), the reply differs")
            }
        },
        option("split-opt-list", Option.list, needs: [.list]),
        option("split-opt-unknown", Option.unknown, data: { _ in pattern(20) }),
        option("split-opt-starttls", Option.startTLS, needs: [.noTLS]),
        option("split-opt-info", Option.info, data: { information($0, everything) }),
        option(
            "split-opt-structured-reply", Option.structuredReply, needs: [.structuredReplies]),
        option(
            "split-opt-extended-headers", Option.extendedHeaders, needs: [.extendedHeaders]),
        option(
            "split-opt-list-meta", Option.listMetaContext, needs: [.allocationContext],
            data: { contextQuery($0, ["base:allocation", "x-unknown:"]) }),
        option(
            "split-opt-set-meta", Option.setMetaContext, needs: [.allocationContext],
            data: { contextQuery($0, ["base:allocation", "x-unknown:"]) }),
        ConformanceCase(
            "split-handshake-bytewise", .must, "Newstyle negotiation",
            rule + ", a byte at a time either"
        ) { peer in
            let dialogue = try peer.connect()
            dialogue.channel.cut = .bytes
            try dialogue.sendFlags(UInt32(dialogue.handshakeFlags & 3))
            try dialogue.expectNegotiating()
            _ = try dialogue.ask(Option.list)
            _ = try info(dialogue, everything)
            _ = try dialogue.ask(Option.structuredReply, [1])
            try dialogue.go(dialogue.exportName, ask: everything)
            try dialogue.expectAlive()
        },
    ]

    /// Returns a case about an option that does not end the handshake: its reply does not depend on the split.
    private static func option(
        _ name: String, _ option: UInt32, needs: [Need] = [],
        data: @escaping @Sendable (String) -> [UInt8] = { _ in [] }
    ) -> ConformanceCase {
        ConformanceCase(name, .must, "Newstyle negotiation", rule, needs: needs) { peer in
            let data = data(peer.exportName)
            let isAboutContexts =
                option == Option.setMetaContext || option == Option.listMetaContext
            let begin = {
                let dialogue = try peer.beginOptions()
                if isAboutContexts { try dialogue.negotiate(.structured) }
                return dialogue
            }
            let whole = try begin().ask(option, data)
            var dialogue = try begin()
            try eachCut(optionMessage(option, data).count) { position in
                // Some servers limit the number of options, and some options may be sent only once.
                if position.isMultiple(of: 16) || whole.end.code == Reply.ack {
                    dialogue = try begin()
                }
                dialogue.channel.cut = .at(position)
                let answer = try dialogue.ask(option, data)
                try expect(
                    answer.end.code == whole.end.code
                        && answer.replies.count == whole.replies.count,
                    "split at \(position), the reply is \(answer.end) instead of \(whole.end)")
                dialogue.channel.cut = .whole
                try dialogue.expectNegotiating()
            }
        }
    }

    private static func answerToAbort(_ dialogue: Dialogue) throws -> UInt32? {
        do {
            return try dialogue.ask(Option.abort).end.code
        } catch is Closed {
            return nil
        }
    }

    /// Runs the body for each position between two bytes of a message.
    private static func eachCut(_ count: Int, _ body: (Int) throws -> Void) throws {
        for position in 1..<count { try body(position) }
    }

    // MARK: - Requests

    static func splitRequestCases(_ mode: Mode) -> [ConformanceCase] {
        let requests: [(String, Request, [Need])] = [
            ("read", .read(4096, 4096), []),
            ("write", .write(8192, pattern(24)), [.writable, .anyAlignment]),
            ("flush", .flush(), [.flag(.flush)]),
            ("trim", .trim(4096, 4096), [.writable, .flag(.trim)]),
            ("cache", .cache(4096, 4096), [.flag(.cache)]),
            ("write-zeroes", .writeZeroes(4096, 4096), [.writable, .flag(.writeZeroes)]),
            ("unknown", Request(command: Command.unknown), []),
            ("block-status", .blockStatus(0, 65536), [.allocationContext]),
        ]
        return requests.filter { mode != .simple || $0.0 != "block-status" }.map {
            splitRequest(mode, $0.0, $0.1, $0.2)
        } + [
            ConformanceCase(
                "\(mode.rawValue)-split-bytewise", .must, "Request message",
                rule + ", a byte at a time either", needs: mode.needs
            ) { peer in
                let dialogue = try peer.transmit(mode)
                dialogue.channel.cut = .bytes
                for (_, request, needs) in requests
                where needs.allSatisfy({ $0.isMet(by: peer.offer, needs: []) }) {
                    _ = try dialogue.call(request)
                }
                try dialogue.expectAlive()
            },
            ConformanceCase(
                "\(mode.rawValue)-split-disconnect", .must, "Request message", rule,
                needs: mode.needs
            ) { peer in
                let request = Request(command: Command.disconnect)
                try eachCut(request.encoded(mode).count) { position in
                    let dialogue = try peer.transmit(mode)
                    dialogue.channel.cut = .at(position)
                    try dialogue.send(request)
                    try dialogue.channel.expectClosed("DISC, split at \(position)")
                }
            },
        ]
    }

    private static func splitRequest(
        _ mode: Mode, _ name: String, _ request: Request, _ needs: [Need]
    ) -> ConformanceCase {
        let contexts = name == "block-status" ? ["base:allocation"] : []
        return transmitting(
            mode, "split-\(name)", .must, "Request message", rule, needs: needs,
            contexts: contexts
        ) { dialogue in
            let whole = try dialogue.call(request)
            try eachCut(request.encoded(mode).count) { position in
                dialogue.channel.cut = .at(position)
                let answer = try dialogue.call(request)
                dialogue.channel.cut = .whole
                try expect(
                    answer.error == whole.error,
                    "split at \(position), the error is \(answer.error) instead of \(whole.error)")
                if request.command == Command.write {
                    let length = UInt64(request.payload.count)
                    try expect(
                        try dialogue.read(request.offset, length) == request.payload,
                        "split at \(position), other bytes are written")
                }
            }
        }
    }
}
