internal import NBDProtocol

/// Cases about `NBD_CMD_FLAG_PAYLOAD_LEN`: payloads of commands that take none, and the payload of BLOCK_STATUS.
extension ConformanceSuite {
    static let payloadCases: [ConformanceCase] =
        [
            ("read", Command.read), ("trim", Command.trim), ("flush", Command.flush),
            ("cache", Command.cache), ("write-zeroes", Command.writeZeroes),
            ("unknown", Command.unknown), ("block-status", Command.blockStatus),
        ].map { name, command in
            transmitting(
                .extended, "payload-on-\(name)", .must, "Command flags",
                "PAYLOAD_LEN on a command without a payload form is NBD_EINVAL, after the payload "
                    + "has been consumed"
            ) { dialogue in
                for count in [1, 28, 32, 4096] {
                    // The payload looks like a request, to find a server that executes it.
                    let decoy = Request.read(0, 512).encoded(.extended)
                    let payload = (0..<count).map { decoy[$0 % decoy.count] }
                    try dialogue.fail(
                        Request(command: command, length: UInt64(count), payload: payload),
                        with: ErrorValue.invalid)
                }
            }
        } + [
            ConformanceCase(
                "extended-payload-too-long", .should, "Request message",
                "a payload beyond any maximum SHOULD lead to a hard disconnect",
                needs: [.extendedHeaders]
            ) { peer in
                let dialogue = try peer.transmit(.extended)
                try dialogue.channel.send(
                    Request(
                        command: Command.write, flags: CommandFlag.payloadLength, cookie: 1,
                        length: 1 << 40
                    ).encoded(.extended))
                try dialogue.channel.expectClosed("a payload of 2^40 bytes")
            }
        ]

    static let statusPayloadCases: [ConformanceCase] = [
        payload(
            "one", .must,
            "the reply is limited to the contexts that the payload names"
        ) { dialogue in
            let ids = dialogue.contexts.map(\.id)
            let extents = try dialogue.succeed(statusQuery(65536, ids)).extents()
            try expect(
                extents.keys.sorted() == ids, "the reply has the contexts \(extents.keys.sorted())")
            let sum = extents.values.first?.dropLast().reduce(0) { $0 + $1.length } ?? 0
            try expect(sum < 65536, "the effect length is that of the payload")
        },
        payload(
            "unknown-id", .must, "an unknown context MUST be NBD_EINVAL, the payload consumed"
        ) { dialogue in
            let id = (dialogue.contexts.map(\.id).max() ?? 0) &+ 1
            try dialogue.fail(statusQuery(65536, [id]), with: ErrorValue.invalid)
        },
        payload(
            "twice", .must, "a context named twice MUST be NBD_EINVAL, the payload consumed"
        ) { dialogue in
            let id = dialogue.contexts[0].id
            try dialogue.fail(statusQuery(65536, [id, id]), with: ErrorValue.invalid)
        },
        payload(
            "short", .must, "the payload form MUST occupy 8 + n * 4 bytes"
        ) { dialogue in
            for count in [4, 10] {
                let payload = [UInt8](repeating: 0, count: count)
                try dialogue.fail(
                    Request(
                        command: Command.blockStatus, length: UInt64(count), payload: payload),
                    with: ErrorValue.invalid)
            }
        },
    ]

    private static func payload(
        _ name: String, _ level: Level, _ rule: String,
        body: @escaping @Sendable (Dialogue) throws -> Void
    ) -> ConformanceCase {
        status(
            .extended, "status-payload-\(name)", level, "NBD_CMD_BLOCK_STATUS", rule,
            needs: [.flag(.blockStatusPayload)], body: body)
    }

    /// Returns a BLOCK_STATUS that selects these contexts.
    static func statusQuery(_ length: UInt64, _ ids: [UInt32]) -> Request {
        let payload = encoded {
            $0.append(bigEndian: length)
            for id in ids { $0.append(bigEndian: id) }
        }
        return Request(
            command: Command.blockStatus, length: UInt64(payload.count), payload: payload)
    }
}
