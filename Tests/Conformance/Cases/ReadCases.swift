/// Cases about `NBD_CMD_READ`, and ranges beyond the end.
extension ConformanceSuite {
    private static let section = "NBD_CMD_READ"
    private static let sizes = "Size constraints"

    static func readCases(_ mode: Mode) -> [ConformanceCase] {
        [
            transmitting(
                mode, "read", .must, section,
                "a read returns all of its bytes"
            ) { dialogue in
                for length: UInt64 in [4096, 65536, 1 << 20] {
                    let bytes = try dialogue.read(0, length)
                    try expect(
                        bytes.count == length, "\(bytes.count) of \(length) bytes are returned")
                }
            },
            transmitting(
                mode, "read-last", .must, section, "the last bytes of the export can be read"
            ) { dialogue in
                let block = UInt64(4096)
                let last = (dialogue.export.size / block - 1) * block
                _ = try dialogue.read(last, dialogue.export.size - last)
            },
            transmitting(
                mode, "read-any-alignment", .should, sizes,
                "a server SHOULD support a minimum block size of 1 if none is advertised",
                needs: [.anyAlignment]
            ) { dialogue in
                let whole = try dialogue.read(0, 8192)
                for (offset, length) in [(1, 1), (4095, 2), (511, 513), (3, 4093)] {
                    let part = try dialogue.read(UInt64(offset), UInt64(length))
                    try expect(
                        part == Array(whole[offset..<offset + length]),
                        "\(length) bytes at \(offset) read differently in a separate request")
                }
            },
            transmitting(
                mode, "read-largest", .should, sizes,
                "a server SHOULD support payloads of at least 2^25 bytes",
                needs: [.size(32 << 20)]
            ) { dialogue in
                let bytes = try dialogue.read(0, 32 << 20)
                try expect(bytes.count == 32 << 20, "\(bytes.count) bytes are returned")
            },
            transmitting(
                mode, "read-no-length", .should, section,
                "a read length of 0 is unspecified, but the server SHOULD NOT disconnect"
            ) { dialogue in
                _ = try dialogue.call(.read(0, 0))
            },
            transmitting(
                mode, "read-beyond-end", .should, "Error values",
                "a read beyond the size of the device SHOULD be NBD_EINVAL"
            ) { dialogue in
                try dialogue.fail(
                    .read(dialogue.export.size, 4096), with: ErrorValue.invalid)
            },
            transmitting(
                mode, "read-across-end", .should, "Error values",
                "a read of which one sector is beyond the size SHOULD be NBD_EINVAL"
            ) { dialogue in
                try dialogue.fail(
                    .read(dialogue.export.size - 4096, 8192), with: ErrorValue.invalid)
            },
            transmitting(
                mode, "read-far-beyond-end", .should, "Error values",
                "an offset near 2^63 is beyond the size"
            ) { dialogue in
                try dialogue.fail(.read(1 << 63 - 4096, 4096), with: ErrorValue.invalid)
                try dialogue.fail(.read(1 << 63, 4096), with: ErrorValue.invalid)
            },
            transmitting(
                mode, "read-overflow", .should, "Error values",
                "an offset whose sum with the length is over 2^64 is beyond the size"
            ) { dialogue in
                try dialogue.fail(.read(.max - 4095, 8192), with: ErrorValue.invalid)
                try dialogue.fail(.read(.max - 4095, 4096), with: ErrorValue.invalid)
            },
            transmitting(
                mode, "read-error-has-no-data", .must, section,
                "a read that fails MUST NOT have a payload: the next reply follows at once"
            ) { dialogue in
                let size = dialogue.export.size
                let requests = try dialogue.send(
                    together: [.read(size, 65536), .read(0, 4096), .read(size, 512 * 8)])
                let answers = try dialogue.receiveAnswers(to: requests)
                try expect(answers[0].error != 0, "a read beyond the end succeeds")
                _ = try answers[1].content()
            },
            transmitting(
                mode, "misaligned", .should, sizes,
                "a request that is not aligned to the minimum block size SHOULD be NBD_EINVAL, "
                    + "or is served",
                needs: [.blockSizes]
            ) { dialogue in
                let answer = try dialogue.call(.read(1, 4096))
                try expect(
                    [0, ErrorValue.invalid].contains(answer.error), "the error is \(answer.error)")
            },
        ]
    }
}
