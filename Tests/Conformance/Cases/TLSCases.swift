/// Cases about STARTTLS, as far as a client without TLS can test it.
extension ConformanceSuite {
    private static let noTLS = "NOTLS mode"
    private static let forcedTLS = "FORCEDTLS mode"

    static let tlsCases: [ConformanceCase] = [
        negotiating(
            "opt-starttls-refused", .must, noTLS,
            "the reply to STARTTLS MUST be an error without TLS", needs: [.noTLS]
        ) { dialogue in
            let end = try dialogue.ask(Option.startTLS).end
            try expect(end.isError && end.code != Reply.tlsRequired, "the reply is \(end)")
            try dialogue.expectNegotiating()
        },
        negotiating(
            "opt-starttls-with-data", .must, "NBD_OPT_STARTTLS",
            "the reply to STARTTLS with data MUST be an error of the specification", needs: [.noTLS]
        ) { dialogue in
            let end = try dialogue.ask(Option.startTLS, [1, 2, 3]).end
            try expect(end.isError && end.code != Reply.tlsRequired, "the reply is \(end)")
            try dialogue.expectNegotiating()
        },
        negotiating(
            "notls-never-tls-reqd", .must, noTLS,
            "the server MUST NOT respond to any option with NBD_REP_ERR_TLS_REQD", needs: [.noTLS]
        ) { dialogue in
            let name = information("no such export, surely")
            for (option, data) in [
                (Option.list, []), (Option.info, name), (Option.startTLS, []),
                (Option.structuredReply, []), (Option.unknown, []),
            ] as [(UInt32, [UInt8])] {
                let end = try dialogue.ask(option, data).end
                try expect(end.code != Reply.tlsRequired, "the reply to option \(option) is \(end)")
            }
        },
        required("forcedtls-list", Option.list),
        required("forcedtls-info", Option.info, information("")),
        required("forcedtls-go", Option.go, information("")),
        required("forcedtls-structured-reply", Option.structuredReply),
        required("forcedtls-unknown", Option.unknown, [1, 2, 3]),
        negotiating(
            "forcedtls-export-name", .must, forcedTLS,
            "EXPORT_NAME before TLS has no error reply, so the server MUST terminate the session",
            needs: [.requiredTLS]
        ) { dialogue in
            try dialogue.send(option: Option.exportName)
            try dialogue.channel.expectClosed("EXPORT_NAME before TLS")
        },
        negotiating(
            "forcedtls-abort", .must, "NBD_OPT_ABORT",
            "ABORT is acknowledged even before TLS", needs: [.requiredTLS]
        ) { dialogue in
            let end = try dialogue.ask(Option.abort).end
            try expect(end.code == Reply.ack, "the reply is \(end)")
        },
        negotiating(
            "forcedtls-handshake-fails", .must, forcedTLS,
            "after a TLS handshake that fails the server MUST terminate the session",
            needs: [.requiredTLS]
        ) { dialogue in
            let end = try dialogue.ask(Option.startTLS).end
            try expect(end.code == Reply.ack, "the reply to STARTTLS is \(end)")
            do {
                try dialogue.send(option: Option.list)
                while true {
                    // A TLS alert may precede the end, an NBD reply may not.
                    let byte = try dialogue.channel.receive(1)[0]
                    try expect(
                        byte != 0, "the server replies to options without TLS after STARTTLS")
                    _ = try dialogue.channel.receive(6)
                }
            } catch is Closed {}
        },
    ]

    private static func required(
        _ name: String, _ option: UInt32, _ data: [UInt8] = []
    ) -> ConformanceCase {
        negotiating(
            name, .must, forcedTLS,
            "the reply to any option except STARTTLS and ABORT MUST be NBD_REP_ERR_TLS_REQD",
            needs: [.requiredTLS]
        ) { dialogue in
            let end = try dialogue.ask(option, data).end
            try expect(end.code == Reply.tlsRequired, "the reply to option \(option) is \(end)")
        }
    }
}
