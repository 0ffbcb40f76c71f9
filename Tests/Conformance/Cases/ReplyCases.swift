/// Cases about replies to any request.
extension ConformanceSuite {
    static func replyCases(_ mode: Mode) -> [ConformanceCase] {
        [
            transmitting(
                mode, "reply-cookie", .must, "Transmission",
                "the reply MUST have the cookie of its request, which is opaque"
            ) { dialogue in
                for cookie: UInt64 in [1, .max, 0x0102_0304_0506_0708, 1 << 63, 0xff00_ff00] {
                    var request = Request.read(0, 4096)
                    request.cookie = cookie
                    _ = try dialogue.call(request).content()
                }
            },
            transmitting(
                mode, "reply-to-each", .must, "Transmission",
                "each of many requests in one message gets its own reply, in any order"
            ) { dialogue in
                let requests = try dialogue.send(
                    together: (0..<64).map { .read(UInt64($0) * 4096, 4096) })
                for answer in try dialogue.receiveAnswers(to: requests) {
                    _ = try answer.content()
                }
            },
            transmitting(
                mode, "reply-same-offset", .must, "Transmission",
                "requests that differ only in their cookies each get a reply"
            ) { dialogue in
                let requests = try dialogue.send(
                    together: Array(repeating: .read(8192, 512 * 8), count: 32))
                let contents = try dialogue.receiveAnswers(to: requests).map { try $0.content() }
                try expect(Set(contents).count == 1, "the same range reads differently")
            },
            transmitting(
                mode, "reply-known-errors", .must, "Error values",
                "errors are restricted to the values that are defined"
            ) { dialogue in
                let size = dialogue.export.size
                for request in [
                    Request.read(size, 4096), .read(size &+ (1 << 40), 4096), .trim(size, 4096),
                    .writeZeroes(size, 4096), .cache(size, 4096), .read(0, 4096, flags: 1 << 14),
                    .blockStatus(size, 4096), Request(command: Command.unknown),
                ] {
                    let error = try dialogue.call(request).error
                    try expect(
                        ErrorValue.all.contains(error),
                        "command \(request.command) fails with \(error)")
                }
            },
            transmitting(
                mode, "reply-no-enomem", .should, "Error values",
                "the server SHOULD NOT return NBD_ENOMEM if at all possible"
            ) { dialogue in
                let error = try dialogue.call(.read(0, UInt64(32 << 20))).error
                try expect(error != ErrorValue.noMemory, "a READ of 32 MiB fails with NBD_ENOMEM")
            },
            unknownCommand(mode, "command-unknown", Command.unknown),
            unknownCommand(mode, "command-resize", 8),
            unknownCommand(mode, "command-highest", .max),
        ]
    }

    private static func unknownCommand(
        _ mode: Mode, _ name: String, _ command: UInt16
    ) -> ConformanceCase {
        transmitting(
            mode, name, .should, "Error values",
            "the server SHOULD return NBD_EINVAL if it receives an unknown command"
        ) { dialogue in
            try dialogue.fail(Request(command: command), with: ErrorValue.invalid)
        }
    }
}
