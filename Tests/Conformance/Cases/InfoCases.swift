internal import NBDProtocol

/// Cases about `NBD_OPT_INFO`.
extension ConformanceSuite {
    private static let section = "NBD_OPT_INFO and NBD_OPT_GO"

    static let infoCases: [ConformanceCase] = [
        negotiating(
            "opt-info", .must, "Baseline",
            "INFO MUST be implemented, with at least NBD_INFO_EXPORT before NBD_REP_ACK"
        ) { dialogue in
            let answer = try info(dialogue)
            try expect(answer.information[Information.export] != nil, "there is no INFO_EXPORT")
        },
        negotiating(
            "opt-info-stays", .must, section, "INFO does not move to the transmission phase"
        ) { dialogue in
            _ = try info(dialogue)
            try dialogue.expectNegotiating()
        },
        negotiating(
            "opt-info-export-length", .must, "NBD_INFO_EXPORT", "length MUST be 12"
        ) { dialogue in
            for data in try info(dialogue).information[Information.export] ?? [] {
                try expect(data.count == 10, "length is \(data.count + 2)")
            }
        },
        negotiating(
            "opt-info-has-flags", .must, "Transmission flags", "NBD_FLAG_HAS_FLAGS MUST always be 1"
        ) { dialogue in
            let flags = try info(dialogue).facts?.flags ?? []
            try expect(flags.contains(.hasFlags), "the flags are \(hex(flags.rawValue))")
        },
        negotiating(
            "opt-info-no-requests", .must, section,
            "the client MAY specify an empty list of information requests"
        ) { dialogue in
            _ = try info(dialogue, [])
        },
        negotiating(
            "opt-info-unknown-type", .must, section,
            "the server MUST ignore any information requests it does not understand"
        ) { dialogue in
            _ = try info(dialogue, [Information.unknown, Information.blockSize, 0xffff])
        },
        negotiating(
            "opt-info-many-types", .must, section,
            "the server MUST ignore any information requests it does not understand, all of them"
        ) { dialogue in
            _ = try info(dialogue, (0..<200).map { 0x4000 + $0 })
        },
        negotiating(
            "opt-info-once", .should, "NBD_REP_INFO",
            "an information type SHOULD only appear once for an export"
        ) { dialogue in
            for (type, all) in try info(dialogue, everything).information {
                try expect(all.count == 1, "information \(type) is sent \(all.count) times")
            }
        },
        negotiating(
            "opt-info-texts", .must, "NBD_REP_INFO",
            "name and description are strings: UTF-8 without NUL, at most 4096 bytes"
        ) { dialogue in
            let answer = try info(dialogue, everything)
            for type in [Information.name, Information.description] {
                for data in answer.information[type] ?? [] {
                    var reader = ByteReader(data)
                    try expect(reader.string(data.count) != nil, "\(data) is not a valid string")
                }
            }
        },
        negotiating(
            "opt-info-name-as-listed", .must, "NBD_INFO_NAME",
            "the name is the one that appears in the reply to LIST", needs: [.list]
        ) { dialogue in
            let listed = try dialogue.ask(Option.list).replies.compactMap(\.exportName)
            guard let name = try info(dialogue, everything).information[Information.name]?.first,
                !listed.isEmpty
            else { return }
            try expect(
                listed.contains(String(decoding: name, as: UTF8.self)),
                "the name \(name) is not one of \(listed)")
        },
        negotiating(
            "opt-info-description-as-listed", .must, "NBD_INFO_DESCRIPTION",
            "the description is the one that may follow the name in the reply to LIST",
            needs: [.list]
        ) { dialogue in
            let listed = try dialogue.ask(Option.list).replies.compactMap(\.listing)
                .filter { !$0.description.isEmpty }
            guard !listed.isEmpty,
                let text = try info(dialogue, everything).information[Information.description]
            else { return }
            try expect(
                listed.contains { Array($0.description.utf8) == text[0] },
                "the description \(text[0]) is not in the list")
        },
        negotiating(
            "opt-info-twice", .must, section,
            "to the same request again, the server MUST reply with the same set of information"
        ) { dialogue in
            let first = try info(dialogue, everything)
            let second = try info(dialogue, everything)
            try expect(Set(first.replies) == Set(second.replies), "the second reply differs")
        },
        negotiating(
            "opt-info-then-go", .must, section,
            "GO after INFO with the same parameters MUST return the same information"
        ) { dialogue in
            let first = try info(dialogue, everything)
            let second = try dialogue.ask(
                Option.go, information(dialogue.exportName, everything))
            try expect(second.end.code == Reply.ack, "the reply to GO is \(second.end)")
            try expect(
                Set(first.replies.map(\.data)) == Set(second.replies.map(\.data)),
                "the replies to GO and INFO differ")
        },
        negotiating(
            "opt-info-default-export", .must, section,
            "the empty name means the default export, if there is one"
        ) { dialogue in
            let end = try dialogue.ask(Option.info, information("")).end
            try expect(
                [Reply.ack, Reply.unknownExport].contains(end.code), "the reply is \(end)")
            try dialogue.expectNegotiating()
        },
    ]

    /// All defined information types.
    static var everything: [UInt16] {
        [Information.export, Information.name, Information.description, Information.blockSize]
    }

    /// Sends INFO for the export, and expects it to succeed.
    static func info(
        _ dialogue: Dialogue, _ types: [UInt16] = [Information.blockSize]
    ) throws -> OptionAnswer {
        let answer = try dialogue.ask(Option.info, information(dialogue.exportName, types))
        try expect(answer.end.code == Reply.ack, "the reply to INFO is \(answer.end)")
        return answer
    }
}
