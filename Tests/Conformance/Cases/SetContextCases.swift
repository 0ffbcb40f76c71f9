internal import NBDProtocol

/// Cases about `NBD_OPT_SET_META_CONTEXT`.
extension ConformanceSuite {
    private static let section = "NBD_OPT_SET_META_CONTEXT"
    private static let allocation = "base:allocation"

    static let setContextCases: [ConformanceCase] =
        [
            negotiating(
                structured: "opt-set-meta", .must, section,
                "a reply for each selected context, then NBD_REP_ACK"
            ) { dialogue in
                let names = try set(dialogue, [allocation]).contexts.map(\.name)
                try expect(names == [allocation], "\(names) is selected")
            },
            negotiating(
                structured: "opt-set-meta-none", .must, section,
                "if zero queries are sent, the server MUST select no contexts"
            ) { dialogue in
                try expectNothing(dialogue, [])
            },
            negotiating(
                structured: "opt-set-meta-wildcard", .must, "The base: metadata namespace",
                "the server MUST ignore `base:` when contexts are selected"
            ) { dialogue in
                try expectNothing(dialogue, ["base:"])
            },
            negotiating(
                structured: "opt-set-meta-unknown-leaf", .must, "The base: metadata namespace",
                "a leaf-name that is not recognized MUST be ignored rather than be an error"
            ) { dialogue in
                try expectNothing(dialogue, ["base:no-such-leaf", "base:allocation2"])
            },
            negotiating(
                structured: "opt-set-meta-unknown-namespace", .must, section,
                "queries of an unknown namespace MUST be ignored"
            ) { dialogue in
                try expectNothing(dialogue, ["x-unknown:anything"])
            },
            negotiating(
                structured: "opt-set-meta-mixed", .must, section,
                "unknown queries are ignored, and the others selected"
            ) { dialogue in
                let answer = try set(dialogue, ["x-unknown:a", allocation, "base:"])
                let names = answer.contexts.map(\.name)
                try expect(names == [allocation], "\(names) is selected")
            },
            negotiating(
                structured: "opt-set-meta-unique-ids", .must, section,
                "each selected context has a unique ID"
            ) { dialogue in
                let ids = try set(dialogue, [allocation, allocation]).contexts.map(\.id)
                try expect(!ids.isEmpty && Set(ids).count == ids.count, "the IDs are \(ids)")
            },
            negotiating(
                "opt-set-meta-too-early", .should, section,
                "before structured replies a server SHOULD send NBD_REP_ERR_INVALID",
                needs: [.allocationContext]
            ) { dialogue in
                let end = try dialogue.ask(
                    Option.setMetaContext, contextQuery(dialogue.exportName, [allocation])
                ).end
                try expect(
                    [Reply.invalid, Reply.extendedHeadersRequired].contains(end.code),
                    "the reply is \(end)")
                try dialogue.expectNegotiating()
            },
            negotiating(
                structured: "opt-set-meta-replaces", .must, section,
                "it replaces all previously set contexts"
            ) { dialogue in
                _ = try set(dialogue, [allocation])
                _ = try set(dialogue, [])
                try expectNoStatus(dialogue, dialogue.exportName)
            },
            negotiating(
                structured: "opt-set-meta-again", .must, section,
                "the last selection is in effect: first nothing, then base:allocation"
            ) { dialogue in
                _ = try set(dialogue, [])
                _ = try set(dialogue, [allocation])
                try dialogue.go(dialogue.exportName)
                try dialogue.succeed(.blockStatus(0, 4096))
            },
            negotiating(
                structured: "opt-set-meta-failure-forgets", .must, section,
                "it replaces all previously set contexts, including when it fails"
            ) { dialogue in
                _ = try set(dialogue, [allocation])
                let lie = contextQuery(dialogue.exportName, [allocation], lastLength: 1000)
                let end = try dialogue.ask(Option.setMetaContext, lie).end
                try expect(end.isError, "the reply to a query that exceeds the data is \(end)")
                try expectNoStatus(dialogue, dialogue.exportName)
            },
            ConformanceCase(
                "opt-set-meta-other-export", .should, "Metadata querying",
                "contexts belong to the export they were selected for: EINVAL on another",
                needs: [.structuredReplies, .allocationContext, .secondExport]
            ) { peer in
                let dialogue = try peer.beginOptions()
                try dialogue.negotiate(.structured)
                try dialogue.setContexts([allocation])
                try expectNoStatus(dialogue, peer.offer.secondExport ?? "")
            },
            negotiating(
                structured: "opt-set-meta-id-in-status", .must, "Metadata querying",
                "the reply to BLOCK_STATUS has one chunk for each selected context"
            ) { dialogue in
                let contexts = try set(dialogue, [allocation]).contexts
                try dialogue.go(dialogue.exportName)
                let extents = try dialogue.succeed(.blockStatus(0, 4096)).extents()
                try expect(
                    Set(extents.keys) == Set(contexts.map(\.id)),
                    "\(contexts.map(\.id)) selected, \(extents.keys.sorted()) in the reply")
            },
        ] + lyingQueries(Option.setMetaContext, "opt-set-meta", .should, section)

    private static func set(_ dialogue: Dialogue, _ queries: [String]) throws -> OptionAnswer {
        let answer = try dialogue.setContexts(queries)
        try expect(answer.end.code == Reply.ack, "the reply is \(answer.end)")
        return answer
    }

    private static func expectNothing(_ dialogue: Dialogue, _ queries: [String]) throws {
        let answer = try set(dialogue, queries)
        try expect(answer.replies.isEmpty, "\(answer.contexts.map(\.name)) is selected")
    }

    /// Starts transmission, and expects a BLOCK_STATUS to fail.
    private static func expectNoStatus(_ dialogue: Dialogue, _ export: String) throws {
        try dialogue.go(export)
        try dialogue.fail(.blockStatus(0, 4096), with: ErrorValue.invalid)
        try dialogue.expectAlive()
    }
}
