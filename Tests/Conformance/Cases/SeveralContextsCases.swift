/// Cases about servers that offer more contexts than base:allocation.
extension ConformanceSuite {
    /// Rules of the handshake.
    static let severalContextsCases: [ConformanceCase] = [
        ConformanceCase(
            "opt-set-meta-all-listed", .must, "NBD_OPT_LIST_META_CONTEXT",
            "the server MUST return contexts that the client can select; each gets an ID of its own",
            needs: [.structuredReplies, .severalContexts]
        ) { peer in
            let dialogue = try peer.beginOptions()
            try dialogue.negotiate(.structured)
            let names = Set(peer.offer.contexts)
            let selected = try dialogue.setContexts(peer.offer.contexts).contexts
            try expect(
                Set(selected.map(\.name)) == names && selected.count == names.count,
                "of \(names.sorted()), \(selected.map(\.name)) are selected")
            try expect(
                Set(selected.map(\.id)).count == selected.count,
                "the IDs are \(selected.map(\.id))")
        },
        ConformanceCase(
            "opt-set-meta-one-of-several", .must, "NBD_OPT_SET_META_CONTEXT",
            "only what a query names is selected",
            needs: [.structuredReplies, .severalContexts]
        ) { peer in
            for name in peer.offer.contexts {
                let dialogue = try peer.beginOptions()
                try dialogue.negotiate(.structured)
                let selected = try dialogue.setContexts([name]).contexts.map(\.name)
                try expect(selected == [name], "\(selected) is selected with \(name)")
            }
        },
    ]

    /// Rules of BLOCK_STATUS.
    static func severalStatusCases(_ mode: Mode) -> [ConformanceCase] {
        guard mode != .simple else { return [] }
        let section = "NBD_CMD_BLOCK_STATUS"
        return [
            several(
                mode, "block-status-several", section,
                "exactly one chunk per selected context, each with one extent at least"
            ) { dialogue in
                let extents = try dialogue.succeed(.blockStatus(0, 1 << 20)).extents()
                try expectAll(dialogue, extents)
            },
            several(
                mode, "block-status-several-req-one", "Command flags",
                "with REQ_ONE every chunk has one extent, not longer than the request"
            ) { dialogue in
                let request = Request.blockStatus(0, 65536, flags: CommandFlag.requestOne)
                let extents = try dialogue.succeed(request).extents()
                try expectAll(dialogue, extents)
                for (id, list) in extents {
                    try expect(
                        list.count == 1 && list[0].length <= 65536,
                        "context \(id) has the extents \(list)")
                }
            },
        ]
    }

    /// Rules of the payload of BLOCK_STATUS.
    static let severalPayloadCases: [ConformanceCase] = [
        several(
            .extended, "status-payload-some", "NBD_CMD_BLOCK_STATUS",
            "the reply is limited to the contexts that the payload names, for this request only",
            needs: [.flag(.blockStatusPayload)]
        ) { dialogue in
            let ids = dialogue.contexts.map(\.id)
            for id in ids {
                let extents = try dialogue.succeed(statusQuery(65536, [id])).extents()
                try expect(
                    Array(extents.keys) == [id], "the reply has the contexts \(extents.keys)")
            }
            try expectAll(dialogue, dialogue.succeed(statusQuery(65536, ids.reversed())).extents())
            try expectAll(dialogue, dialogue.succeed(.blockStatus(0, 65536)).extents())
        }
    ]

    private static func expectAll(_ dialogue: Dialogue, _ extents: [UInt32: [Extent]]) throws {
        let ids = dialogue.contexts.map(\.id)
        try expect(
            Set(extents.keys) == Set(ids),
            "\(ids) are selected, \(extents.keys.sorted()) are in the reply")
    }

    /// Returns a case with every context selected that the server lists.
    private static func several(
        _ mode: Mode, _ name: String, _ section: String, _ rule: String, needs: [Need] = [],
        body: @escaping @Sendable (Dialogue) throws -> Void
    ) -> ConformanceCase {
        ConformanceCase(
            "\(mode.rawValue)-\(name)", .must, section, rule,
            needs: mode.needs + [.severalContexts] + needs
        ) { peer in
            let dialogue = try peer.transmit(mode, contexts: peer.offer.contexts)
            try body(dialogue)
            try dialogue.expectAlive()
        }
    }
}
