/// Cases about `NBD_OPT_INFO` and `NBD_OPT_GO` with unknown exports or malformed data.
extension ConformanceSuite {
    private static let section = "NBD_OPT_INFO and NBD_OPT_GO"
    private static let stranger = "no such export, surely"

    static let infoErrorCases: [ConformanceCase] =
        [(Option.info, "opt-info"), (Option.go, "opt-go")].flatMap(unknownCases)
        + [(Option.info, "opt-info"), (Option.go, "opt-go")].flatMap(malformedCases)

    private static func unknownCases(_ option: UInt32, _ name: String) -> [ConformanceCase] {
        [
            negotiating(
                "\(name)-unknown-export", .must, section,
                "NBD_REP_ERR_UNKNOWN: the chosen export does not exist", needs: [.refusedNames]
            ) { dialogue in
                let end = try dialogue.ask(option, information(stranger)).end
                try expect(end.code == Reply.unknownExport, "the reply is \(end)")
                try dialogue.expectNegotiating()
            },
            negotiating(
                "\(name)-unknown-export-tells-nothing", .should, section,
                "the server SHOULD NOT send NBD_REP_INFO for an export that does not exist",
                needs: [.refusedNames]
            ) { dialogue in
                let answer = try dialogue.ask(option, information(stranger, everything))
                try expect(
                    answer.replies.isEmpty, "\(answer.replies.count) replies precede the error")
            },
            negotiating(
                "\(name)-longest-name", .must, "Conventions",
                "a name of 4096 bytes is valid: it gets a reply"
            ) { dialogue in
                let name = String(repeating: "x", count: 4096)
                let end = try dialogue.ask(option, information(name)).end
                // A server that serves every name is in the transmission phase now.
                if option == Option.info || end.isError { try dialogue.expectNegotiating() }
            },
            negotiating(
                "\(name)-no-string", .must, "Conventions",
                "a name MUST NOT contain NUL: it selects no export", needs: [.refusedNames]
            ) { dialogue in
                try expectRefused(dialogue, option, information(bytes: [0x61, 0, 0x62]))
            },
            negotiating(
                "\(name)-no-utf8", .must, "Conventions",
                "a name is UTF-8: other bytes select no export",
                needs: [.refusedNames]
            ) { dialogue in
                try expectRefused(dialogue, option, information(bytes: [0xff, 0xfe, 0xc3]))
            },
        ]
    }

    private static func malformedCases(_ option: UInt32, _ name: String) -> [ConformanceCase] {
        let lies: [(String, String, [UInt8])] = [
            ("empty", "without any data", []),
            ("truncated", "with half a number", [0, 0]),
            (
                "name-too-long", "whose name length exceeds the option's data",
                information("abc", nameLength: 100)
            ),
            (
                "name-huge", "whose name length is 2^32 - 1", information("", nameLength: .max)
            ),
            (
                "name-over-count", "whose name includes the number of requests",
                information("abcd", nameLength: 6)
            ),
            (
                "count-too-high", "that has fewer requests than it announces",
                information("", [Information.blockSize], count: 2)
            ),
        ]
        return lies.map { lie, words, data in
            negotiating(
                // The MUST applies to the client. The server may choose its reaction, but it must
                // not wait for bytes that are not part of the option.
                "\(name)-lies-\(lie)", .should, section,
                "a request " + words + " fails, or ends the session"
            ) { dialogue in
                try expectRefused(dialogue, option, data)
            }
        }
    }

    /// Expects an error after which the handshake continues, or a disconnect, which is allowed after a violation.
    private static func expectRefused(
        _ dialogue: Dialogue, _ option: UInt32, _ data: [UInt8]
    ) throws {
        do {
            let end = try dialogue.ask(option, data).end
            try expect(end.isError, "the reply is \(end)")
            try dialogue.expectNegotiating()
        } catch is Closed {}
    }
}
