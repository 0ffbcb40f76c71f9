/// Cases about the form of replies to `NBD_CMD_BLOCK_STATUS`.
extension ConformanceSuite {
    private static let section = "NBD_CMD_BLOCK_STATUS"
    private static let chunkSection = "NBD_REPLY_TYPE_BLOCK_STATUS"
    /// How many bytes of the export the cases about extents use.
    private static let stretch: UInt64 = 1 << 20

    static func blockStatusCases(_ mode: Mode) -> [ConformanceCase] {
        guard mode != .simple else {
            return [
                transmitting(
                    mode, "block-status-refused", .should, "Metadata querying",
                    "BLOCK_STATUS without a selected context SHOULD be NBD_EINVAL"
                ) { try $0.fail(.blockStatus(0, 4096), with: ErrorValue.invalid) }
            ]
        }
        return [
            transmitting(
                mode, "block-status-refused", .should, "Metadata querying",
                "BLOCK_STATUS without a selected context SHOULD be NBD_EINVAL"
            ) { try $0.fail(.blockStatus(0, 4096), with: ErrorValue.invalid) },
            status(
                mode, "block-status", .must, section,
                "exactly one chunk per selected context, of the type for the mode"
            ) { dialogue in
                let answer = try dialogue.succeed(.blockStatus(0, stretch))
                let type =
                    mode == .extended ? ChunkType.blockStatusExtended : ChunkType.blockStatus
                let types = answer.chunks.map(\.type).filter { $0 != ChunkType.none }
                try expect(types == [type], "the chunks are of types \(types)")
                let ids = try answer.extents().keys.sorted()
                try expect(ids == dialogue.contexts.map(\.id), "the chunks' contexts are \(ids)")
            },
            status(
                mode, "block-status-inside", .must, chunkSection,
                "the sum of all extents but the last MUST be less than the requested length"
            ) { dialogue in
                for length in [4096, 65536, stretch] {
                    let extents = try extents(dialogue, .blockStatus(0, length))
                    let sum = extents.dropLast().reduce(0) { $0 + $1.length }
                    try expect(sum < length, "\(sum) of \(length) bytes before the last extent")
                }
            },
            status(
                mode, "block-status-within-export", .must, section,
                "extents are portions of the export: none goes beyond its end"
            ) { dialogue in
                let size = dialogue.export.size
                let offset = (size / 4096 - 2) * 4096
                let extents = try extents(dialogue, .blockStatus(offset, size - offset))
                let sum = extents.reduce(0) { $0 + $1.length }
                let rest = size - offset
                try expect(sum <= rest, "\(sum) bytes, \(rest) bytes from the end")
            },
            status(
                mode, "block-status-req-one", .must, "Command flags",
                "with REQ_ONE there is one extent, not longer than the request"
            ) { dialogue in
                for length in [4096, 65536, stretch] {
                    let extents = try extents(
                        dialogue, .blockStatus(0, length, flags: CommandFlag.requestOne))
                    try expect(extents.count == 1, "there are \(extents.count) extents")
                    try expect(extents[0].length <= length, "it has \(extents[0].length) bytes")
                }
            },
            status(
                mode, "block-status-fua", .must, "Command flags",
                "with NBD_FLAG_SEND_FUA the server MUST accept all commands with the FUA flag",
                needs: [.flag(.forceUnitAccess)]
            ) { try $0.succeed(.blockStatus(0, 4096, flags: CommandFlag.forceUnitAccess)) },
            wrongFlag(mode, "unknown-flag", CommandFlag.unknown),
            wrongFlag(mode, "df", CommandFlag.dontFragment),
            wrongFlag(mode, "no-hole", CommandFlag.noHole),
            status(
                mode, "block-status-no-length", .should, section,
                "a length of 0 is unspecified, but the server SHOULD NOT disconnect"
            ) { _ = try $0.call(.blockStatus(0, 0)) },
            status(
                mode, "block-status-beyond-end", .should, section,
                "beyond the size of the device it SHOULD be NBD_EINVAL"
            ) { dialogue in
                try dialogue.fail(
                    .blockStatus(dialogue.export.size, 4096), with: ErrorValue.invalid)
            },
            status(
                mode, "block-status-across-end", .should, section,
                "with one sector beyond the size of the device it SHOULD be NBD_EINVAL"
            ) { dialogue in
                try dialogue.fail(
                    .blockStatus(dialogue.export.size - 4096, 8192), with: ErrorValue.invalid)
            },
            status(
                mode, "block-status-whole", .should, section,
                "of the whole export, the server SHOULD NOT send more than 2^20 descriptors"
            ) { dialogue in
                let length = min(dialogue.export.size, mode == .extended ? .max : 0xffff_f000)
                let extents = try extents(dialogue, .blockStatus(0, length))
                try expect(extents.count <= 1 << 20, "there are \(extents.count) descriptors")
            },
            status(
                mode, "block-status-progress", .must, section,
                "at least one extent per reply: continuing after the last one reaches the end"
            ) { dialogue in
                var offset: UInt64 = 0
                let end = min(dialogue.export.size, 16 << 20)
                for _ in 0..<10_000 where offset < end {
                    let rest = try extents(dialogue, .blockStatus(offset, end - offset))
                    offset += rest.reduce(0) { $0 + $1.length }
                }
                try expect(offset >= end, "after 10,000 requests the offset is only \(offset)")
            },
        ]
    }

    private static func wrongFlag(_ mode: Mode, _ name: String, _ flag: UInt16) -> ConformanceCase {
        status(
            mode, "\(name)-on-block-status", .should, "Error values",
            "a flag that is not documented for the request SHOULD be NBD_EINVAL"
        ) { try $0.fail(.blockStatus(0, 4096, flags: flag), with: ErrorValue.invalid) }
    }

    /// Returns a case with base:allocation selected.
    static func status(
        _ mode: Mode, _ name: String, _ level: Level, _ section: String, _ rule: String,
        needs: [Need] = [], body: @escaping @Sendable (Dialogue) throws -> Void
    ) -> ConformanceCase {
        transmitting(
            mode, name, level, section, rule, needs: [.allocationContext] + needs,
            contexts: ["base:allocation"], body: body)
    }

    /// Returns the extents of the only selected context.
    static func extents(_ dialogue: Dialogue, _ request: Request) throws -> [Extent] {
        let all = try dialogue.call(request).extents()
        guard let extents = all.values.first else { throw Deviation("there is no status chunk") }
        return extents
    }
}
