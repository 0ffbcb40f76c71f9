internal import NBDProtocol

/// Cases about options in general, and `NBD_OPT_ABORT`.
extension ConformanceSuite {
    static let optionCases: [ConformanceCase] =
        [
            unknown("opt-unknown", Option.unknown, 0),
            unknown("opt-unknown-zero", 0, 0),
            unknown("opt-unknown-highest", .max, 0),
            unknown("opt-unknown-peek-export", Option.peekExport, 0),
            unknown("opt-unknown-with-data", Option.unknown, 24),
            unknown("opt-unknown-with-long-data", Option.unknown, 60_000),
            negotiating(
                "opt-error-text", .must, "Option reply types",
                "an error's data is a string: UTF-8 without NUL, at most 4096 bytes"
            ) { dialogue in
                let questions: [(UInt32, [UInt8])] = [
                    (Option.unknown, []), (Option.info, information("no such export, surely")),
                ]
                for (option, data) in questions {
                    let end = try dialogue.ask(option, data).end
                    var reader = ByteReader(end.data)
                    try expect(
                        !end.isError || reader.string(end.data.count) != nil,
                        "the data of \(end) is not a valid string")
                }
            },
            negotiating(
                "opt-ack-without-data", .must, "Option reply types", "NBD_REP_ACK has no data",
                needs: [.list]
            ) { dialogue in
                let end = try dialogue.ask(Option.list).end
                try expect(end.data.isEmpty, "NBD_REP_ACK has \(end.data.count) bytes of data")
            },
        ] + abortCases

    /// Returns a case about an undefined option with `count` bytes of data.
    private static func unknown(_ name: String, _ option: UInt32, _ count: Int) -> ConformanceCase {
        negotiating(
            name, .must, "Baseline",
            "the reply to an unknown option MUST be NBD_REP_ERR_UNSUP, and the "
                + "next message parsed"
        ) { dialogue in
            let answer = try dialogue.ask(option, [UInt8](repeating: 0x49, count: count))
            try expect(
                answer.end.code == Reply.unsupported,
                "the reply to option \(option) is \(answer.end)")
            try dialogue.expectNegotiating()
        }
    }

    private static let abortCases: [ConformanceCase] = [
        negotiating(
            "opt-abort", .must, "NBD_OPT_ABORT", "the server MUST reply with NBD_REP_ACK"
        ) { dialogue in
            let answer = try dialogue.ask(Option.abort)
            try expect(answer.end.code == Reply.ack, "the reply to ABORT is \(answer.end)")
        },
        negotiating(
            "opt-abort-with-data", .should, "NBD_OPT_ABORT",
            "a server SHOULD ignore data that comes with ABORT"
        ) { dialogue in
            let answer = try dialogue.ask(Option.abort, [1, 2, 3, 4])
            try expect(
                answer.end.code == Reply.ack, "the reply to ABORT with data is \(answer.end)")
        },
        ConformanceCase(
            "opt-abort-and-gone", .should, "NBD_OPT_ABORT",
            "the server SHOULD gracefully handle a client that does not wait for the reply"
        ) { peer in
            for _ in 0..<4 { try peer.beginOptions().send(option: Option.abort) }
            try peer.beginOptions().expectNegotiating()
        },
    ]
}
