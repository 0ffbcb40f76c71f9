/// Cases about `NBD_CMD_FLAG_DF`, "don't fragment".
extension ConformanceSuite {
    private static let section = "NBD_CMD_READ"

    static func fragmentCases(_ mode: Mode) -> [ConformanceCase] {
        [
            transmitting(
                mode, "df-one-chunk", .must, section,
                "with DF the server MUST send at most one content chunk",
                needs: [.flag(.dontFragment)]
            ) { dialogue in
                try expectOneChunk(dialogue, 0, 65536)
            },
            transmitting(
                mode, "df-data-and-hole", .must, section,
                "with DF, a range of data and holes MUST be one OFFSET_DATA with the zeroes present",
                needs: [.flag(.dontFragment), .writable]
            ) { dialogue in
                try scatter(dialogue)
                let bytes = try expectOneChunk(dialogue, 65536 - 16384, 65536)
                let data = pattern(8192, seed: 65536)
                try expect(
                    bytes[16384..<16384 + 8192] == data[...] && bytes[0] == 0,
                    "the bytes differ")
            },
            transmitting(
                mode, "df-64k", .must, section,
                "the server MUST support unfragmented reads of up to 65,536 bytes",
                needs: [.flag(.dontFragment)]
            ) { dialogue in
                for length: UInt64 in [4096, 32768, 65536] {
                    try expectOneChunk(dialogue, 4096, length)
                }
            },
            transmitting(
                mode, "df-large", .must, section,
                "a larger read with DF is one content chunk, or NBD_EOVERFLOW without one",
                needs: [.flag(.dontFragment), .size(32 << 20)]
            ) { dialogue in
                let answer = try dialogue.call(
                    .read(0, 32 << 20, flags: CommandFlag.dontFragment))
                let count = answer.chunks.count(where: \.isContent)
                try expect(
                    answer.error == 0 && count == 1
                        || answer.error == ErrorValue.overflow && count == 0,
                    "error \(answer.error), \(count) content chunks")
            },
        ]
    }

    @discardableResult
    private static func expectOneChunk(
        _ dialogue: Dialogue, _ offset: UInt64, _ length: UInt64
    ) throws -> [UInt8] {
        let answer = try dialogue.call(
            .read(offset, length, flags: CommandFlag.dontFragment))
        let count = answer.chunks.count(where: \.isContent)
        try expect(count == 1, "there are \(count) content chunks")
        return try answer.content()
    }
}
