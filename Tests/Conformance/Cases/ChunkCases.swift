internal import NBDProtocol

/// Cases about the chunks of structured and extended replies.
extension ConformanceSuite {
    private static let replies = "Structured reply chunk message"
    private static let types = "Structured reply types"

    static let structuredCases: [ConformanceCase] = [
        transmitting(
            .structured, "df-flag-works", .must, "Transmission flags",
            "NBD_FLAG_SEND_DF is set if READ supports the DF flag, and not otherwise",
            needs: [.flag(.dontFragment)]
        ) { dialogue in
            _ = try dialogue.call(
                .read(0, 4096, flags: CommandFlag.dontFragment)
            ).content()
        },
        transmitting(
            .structured, "error-is-chunk", .should, replies,
            "the server SHOULD prefer sending errors via a structured reply", needs: [.writable]
        ) { dialogue in
            let answer = try dialogue.call(.write(dialogue.export.size, pattern(4096)))
            try expect(!answer.isSimple, "the reply to a failed WRITE is a simple one")
        },
    ]

    static func chunkCases(_ mode: Mode) -> [ConformanceCase] {
        let size = 1 << 20 as UInt64
        return [
            transmitting(
                mode, "read-in-chunks", .must, "NBD_CMD_READ",
                "content chunks cover the request, do not overlap, and lie inside it"
            ) { dialogue in
                if !dialogue.export.flags.contains(.readOnly) { try scatter(dialogue) }
                for (offset, length): (UInt64, UInt64) in [(0, size), (4096, 4096), (61440, 16384)]
                {
                    try expect(
                        !dialogue.call(.read(offset, length)).isSimple, "the reply is a simple one")
                    _ = try dialogue.read(offset, length)
                }
            },
            transmitting(
                mode, "chunks-end-with-done", .must, "Structured reply flags",
                "NBD_REPLY_FLAG_DONE is set on the last chunk, and on NBD_REPLY_TYPE_NONE"
            ) { dialogue in
                for request in [Request.read(0, size), .read(dialogue.export.size, 4096)] {
                    for chunk in try dialogue.call(request).chunks
                    where chunk.type == ChunkType.none {
                        try expect(chunk.isDone, "a NONE chunk is not the last")
                        try expect(chunk.payload.isEmpty, "a NONE chunk has a payload")
                    }
                }
            },
            transmitting(
                mode, "chunks-no-other-flags", .must, "Structured reply flags",
                "the server MUST NOT set any other flags"
            ) { dialogue in
                for request in [Request.read(0, size), .read(dialogue.export.size, 4096)] {
                    for chunk in try dialogue.call(request).chunks {
                        try expect(chunk.flags & ~1 == 0, "the flags are \(hex(chunk.flags))")
                    }
                }
            },
            transmitting(
                mode, "chunks-of-read", .must, types,
                "a READ has content chunks: OFFSET_DATA with at least 9 bytes, OFFSET_HOLE with 12"
            ) { dialogue in
                if !dialogue.export.flags.contains(.readOnly) { try scatter(dialogue) }
                for chunk in try dialogue.call(.read(0, size)).chunks {
                    switch chunk.type {
                    case ChunkType.none: break
                    case ChunkType.offsetData:
                        try expect(chunk.payload.count >= 9, "OFFSET_DATA has no data")
                    case ChunkType.offsetHole:
                        try expect(try !chunk.content().isEmpty, "OFFSET_HOLE has no length")
                    default: throw Deviation("a chunk has type \(chunk.type)")
                    }
                }
            },
            transmitting(
                mode, "chunks-in-sectors", .should, "NBD_CMD_READ",
                "lengths and offsets of chunks SHOULD be multiples of 512 bytes where possible"
            ) { dialogue in
                if !dialogue.export.flags.contains(.readOnly) { try scatter(dialogue) }
                for chunk in try dialogue.call(.read(0, size)).chunks where chunk.isContent {
                    try expect(
                        chunk.offset?.isMultiple(of: 512) == true
                            && chunk.content().count.isMultiple(of: 512),
                        "a chunk begins at \(chunk.offset ?? 0)")
                }
            },
            transmitting(
                mode, "chunk-of-error", .must, "NBD_REPLY_TYPE_ERROR",
                "an error other than zero, and a message of at most 4096 bytes that fits"
            ) { dialogue in
                for request in [
                    Request.read(dialogue.export.size, 4096), .read(0, 4096, flags: 1 << 14),
                    Request(command: Command.unknown),
                ] {
                    let answer = try dialogue.call(request)
                    try expect(answer.error != 0, "command \(request.command) succeeds")
                    for chunk in answer.chunks where chunk.isError { try check(chunk, request) }
                }
            },
            transmitting(
                mode, "read-error-is-no-simple-reply", .must, replies,
                "READ MUST NOT get a simple reply, even for the early NBD_EINVAL of bad flags"
            ) { dialogue in
                for flags in [CommandFlag.unknown, CommandFlag.noHole] {
                    let answer = try dialogue.call(.read(0, 4096, flags: flags))
                    try expect(!answer.isSimple, "the reply is a simple one")
                }
            },
        ]
    }

    /// Checks the parts of an error chunk against the specification.
    private static func check(_ chunk: Chunk, _ request: Request) throws {
        var reader = ByteReader(chunk.payload)
        guard let error = reader.number(as: UInt32.self), error != 0,
            let length = reader.number(as: UInt16.self), length <= 4096,
            reader.string(Int(length)) != nil
        else { throw Deviation("an error chunk is malformed: \(chunk.payload)") }
        guard chunk.type == ChunkType.errorOffset else { return }
        let offset = reader.number(as: UInt64.self) ?? 0
        try expect(
            offset >= request.offset && offset - request.offset < request.length,
            "ERROR_OFFSET is outside the request")
    }

    /// Fills the first MiB with alternating data and possible holes.
    static func scatter(_ dialogue: Dialogue) throws {
        if dialogue.export.flags.contains(.writeZeroes) {
            try dialogue.succeed(.writeZeroes(0, 1 << 20))
        }
        for offset: UInt64 in [65536, 262_144, 278_528, 1 << 20 - 65536] {
            try dialogue.succeed(.write(offset, pattern(8192, seed: offset)))
        }
    }
}
