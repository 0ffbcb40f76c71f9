internal import NBDProtocol

/// Cases about `NBD_OPT_LIST_META_CONTEXT`.
extension ConformanceSuite {
    private static let section = "NBD_OPT_LIST_META_CONTEXT"

    static let listContextCases: [ConformanceCase] =
        [
            negotiating(
                structured: "opt-list-meta-all", .must, section,
                "if zero queries are sent, the server MUST return all contexts, or wildcards"
            ) { dialogue in
                let names = try list(dialogue, []).contexts.map(\.name)
                try expect(
                    names.contains("base:allocation") || names.contains("base:"),
                    "\(names) has no base:allocation")
            },
            negotiating(
                structured: "opt-list-meta-wildcard", .must, "The base: metadata namespace",
                "`base:` MUST be supported as a wildcard when listing"
            ) { dialogue in
                let names = try list(dialogue, ["base:"]).contexts.map(\.name)
                try expect(names.contains("base:allocation"), "\(names) has no base:allocation")
            },
            negotiating(
                structured: "opt-list-meta-exact", .must, section,
                "contexts that match a query MUST be returned, and no others"
            ) { dialogue in
                let names = try list(dialogue, ["base:allocation"]).contexts.map(\.name)
                try expect(names == ["base:allocation"], "the list is \(names)")
            },
            negotiating(
                structured: "opt-list-meta-unknown-namespace", .must, section,
                "the server MUST ignore queries of an unknown namespace: a single NBD_REP_ACK"
            ) { dialogue in
                let answer = try list(dialogue, ["x-unknown:anything"])
                try expect(answer.replies.isEmpty, "the list is \(answer.contexts)")
            },
            negotiating(
                structured: "opt-list-meta-unknown-leaf", .must, "The base: metadata namespace",
                "a leaf-name that is not recognized MUST be ignored rather than be an error"
            ) { dialogue in
                let answer = try list(dialogue, ["base:no-such-leaf"])
                try expect(answer.replies.isEmpty, "the list is \(answer.contexts)")
            },
            negotiating(
                structured: "opt-list-meta-mixed", .must, section,
                "unknown queries are ignored, and the others get replies"
            ) { dialogue in
                let answer = try list(dialogue, ["x-unknown:a", "base:allocation", "x-unknown:b"])
                let names = answer.contexts.map(\.name)
                try expect(names == ["base:allocation"], "the list is \(names)")
            },
            negotiating(
                structured: "opt-list-meta-id", .should, section,
                "the context ID in these replies SHOULD be zero"
            ) { dialogue in
                for context in try list(dialogue, []).contexts {
                    try expect(context.id == 0, "\(context.name) has ID \(context.id)")
                }
            },
            negotiating(
                structured: "opt-list-meta-names", .must, section,
                "each name MUST begin with a namespace and a colon, and be a string"
            ) { dialogue in
                for reply in try list(dialogue, []).replies {
                    var reader = ByteReader(Array(reply.data.dropFirst(4)))
                    let name = reader.string(reader.remaining) ?? ""
                    try expect(
                        reply.code == Reply.metaContext && name.dropFirst().contains(":"),
                        "\(reply.data) is not a context")
                }
            },
            negotiating(
                structured: "opt-list-meta-changes-nothing", .must, "NBD_OPT_SET_META_CONTEXT",
                "only SET replaces the selection: a later LIST does not change it"
            ) { dialogue in
                try dialogue.setContexts(["base:allocation"])
                _ = try list(dialogue, ["x-unknown:anything"])
                try dialogue.go(dialogue.exportName)
                _ = try dialogue.succeed(.blockStatus(0, 4096))
            },
            negotiating(
                "opt-list-meta-too-early", .must, section,
                "without structured replies it MAY fail; the handshake continues"
            ) { dialogue in
                _ = try dialogue.ask(
                    Option.listMetaContext, contextQuery(dialogue.exportName, []))
                try dialogue.expectNegotiating()
            },
        ] + lyingQueries(Option.listMetaContext, "opt-list-meta", .must, section)

    private static func list(_ dialogue: Dialogue, _ queries: [String]) throws -> OptionAnswer {
        let answer = try dialogue.ask(
            Option.listMetaContext, contextQuery(dialogue.exportName, queries))
        try expect(answer.end.code == Reply.ack, "the reply is \(answer.end)")
        return answer
    }

    /// Cases about requests whose lengths do not add up.
    static func lyingQueries(
        _ option: UInt32, _ name: String, _ level: Level, _ section: String
    ) -> [ConformanceCase] {
        let query = "base:allocation"
        let lies: [(String, String, @Sendable (String) -> [UInt8])] = [
            ("empty", "without data", { _ in [] }),
            (
                "name-too-long", "whose name exceeds the data",
                { contextQuery($0, [query], nameLength: 4000) }
            ),
            (
                "count-too-high", "with fewer queries than announced",
                { contextQuery($0, [query], count: 2) }
            ),
            (
                "count-huge", "that announces 2^32 - 1 queries",
                { contextQuery($0, [query], count: .max) }
            ),
            (
                "query-too-long", "whose query exceeds the data",
                { contextQuery($0, [query], lastLength: 16) }
            ),
            (
                "query-huge", "that announces a query of 2^32 - 1 bytes",
                { contextQuery($0, [query], lastLength: .max) }
            ),
        ]
        return lies.map { lie, words, data in
            negotiating(
                structured: "\(name)-lies-\(lie)", level, section,
                "a syntactically invalid request (here one \(words)) fails with "
                    + "NBD_REP_ERR_INVALID"
            ) { dialogue in
                let end = try dialogue.ask(option, data(dialogue.exportName)).end
                try expect(end.code == Reply.invalid, "the reply is \(end)")
                try dialogue.expectNegotiating()
            }
        }
    }
}
