internal import NBDProtocol

/// Cases about `NBD_OPT_LIST`.
extension ConformanceSuite {
    private static let section = "NBD_OPT_LIST"

    static let listCases: [ConformanceCase] = [
        negotiating(
            "opt-list", .must, "Baseline", "NBD_OPT_LIST MUST be implemented"
        ) { dialogue in
            let end = try dialogue.ask(Option.list).end
            try expect(
                end.code == Reply.ack || end.code == Reply.policy || end.code == Reply.tlsRequired,
                "the reply to LIST is \(end)")
            try dialogue.expectNegotiating()
        },
        negotiating(
            "opt-list-entries", .must, "NBD_REP_SERVER",
            "an entry is a name whose length fits into the reply, and a description",
            needs: [.list]
        ) { dialogue in
            for reply in try dialogue.ask(Option.list).replies {
                try expect(reply.code == Reply.server, "the reply to LIST has a \(reply)")
                try expect(reply.listing != nil, "an entry is malformed: \(reply.data)")
            }
        },
        negotiating(
            "opt-list-with-data", .should, section,
            "the server SHOULD reject a request with data with NBD_REP_ERR_INVALID"
        ) { dialogue in
            let answer = try dialogue.ask(Option.list, [0, 0, 0, 0])
            try expect(answer.end.code == Reply.invalid, "the reply is \(answer.end)")
            try dialogue.expectNegotiating()
        },
        negotiating(
            "opt-list-names", .must, "NBD_REP_SERVER",
            "names are those that INFO and GO expect", needs: [.list]
        ) { dialogue in
            let names = try dialogue.ask(Option.list).replies.compactMap(\.exportName)
            for name in names.prefix(10) {
                let end = try dialogue.ask(Option.info, information(name)).end
                try expect(
                    end.code == Reply.ack || end.code == Reply.tlsRequired,
                    "the reply to INFO of the listed name \"\(name)\" is \(end)")
            }
        },
        negotiating(
            "opt-list-once", .must, section,
            "zero or more NBD_REP_SERVER replies, one for each export", needs: [.list]
        ) { dialogue in
            let replies = try dialogue.ask(Option.list).replies
            try expect(Set(replies).count == replies.count, "an export is listed twice")
        },
        negotiating(
            "opt-list-twice", .should, section,
            "LIST changes nothing: a second LIST returns the same list",
            needs: [.list]
        ) { dialogue in
            let first = try dialogue.ask(Option.list)
            let second = try dialogue.ask(Option.list)
            try expect(second.end.code == Reply.ack, "the second reply is \(second.end)")
            try expect(
                Set(first.replies) == Set(second.replies), "the second list differs from the first")
        },
    ]
}
