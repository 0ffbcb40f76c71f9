/// Cases about `NBD_CMD_WRITE`, and read-only exports.
extension ConformanceSuite {
    private static let section = "NBD_CMD_WRITE"

    static func writeCases(_ mode: Mode) -> [ConformanceCase] {
        [
            transmitting(
                mode, "write", .must, section,
                "the server MUST write the data, and then send the reply", needs: [.writable]
            ) { dialogue in
                let data = pattern(65536, seed: 1)
                try dialogue.succeed(.write(0, data))
                try expect(try dialogue.read(0, 65536) == data, "other bytes are read")
            },
            transmitting(
                mode, "write-leaves-others", .must, section,
                "offset and length define the range: nothing outside it changes",
                needs: [.writable]
            ) { dialogue in
                let before = pattern(3 * 4096, seed: 2)
                let middle = pattern(4096, seed: 3)
                try dialogue.succeed(.write(0, before))
                try dialogue.succeed(.write(4096, middle))
                let expected = before.prefix(4096) + middle + before.suffix(4096)
                try expect(
                    try dialogue.read(0, 3 * 4096) == Array(expected),
                    "bytes outside the range change")
            },
            transmitting(
                mode, "write-any-alignment", .should, "Size constraints",
                "a server SHOULD support a minimum block size of 1 if none is advertised",
                needs: [.writable, .anyAlignment]
            ) { dialogue in
                var expected = pattern(3 * 4096, seed: 4)
                try dialogue.succeed(.write(0, expected))
                for (offset, count) in [(1, 1), (4095, 2), (5000, 4097), (511, 513)] {
                    let part = pattern(count, seed: UInt64(offset))
                    try dialogue.succeed(.write(UInt64(offset), part))
                    expected.replaceSubrange(offset..<offset + count, with: part)
                }
                try expect(try dialogue.read(0, 3 * 4096) == expected, "the bytes differ")
            },
            transmitting(
                mode, "write-largest", .should, "Size constraints",
                "a server SHOULD support payloads of at least 2^25 bytes",
                needs: [.writable, .size(32 << 20)]
            ) { dialogue in
                let block = pattern(65536, seed: 5)
                let data = Array(repeatElement(block, count: 512).joined())
                try dialogue.succeed(.write(0, data))
                try expect(
                    try dialogue.read((32 << 20) - 65536, 65536) == block,
                    "the end of the data is missing")
            },
            transmitting(
                mode, "write-many", .must, "Transmission",
                "each of many writes in one message is executed and gets a reply",
                needs: [.writable]
            ) { dialogue in
                let requests = try dialogue.send(
                    together: (0..<64).map {
                        .write(UInt64($0) * 4096, pattern(4096, seed: UInt64($0) + 10))
                    })
                for answer in try dialogue.receiveAnswers(to: requests) {
                    try expect(answer.error == 0, "a write fails with \(answer.error)")
                }
                let expected = (0..<64).flatMap { pattern(4096, seed: $0 + 10) }
                try expect(try dialogue.read(0, 64 * 4096) == expected, "the bytes differ")
            },
            transmitting(
                mode, "write-no-length", .should, section,
                "a write length of 0 is unspecified, but the server SHOULD NOT disconnect",
                needs: [.writable]
            ) { dialogue in
                _ = try dialogue.call(.write(0, []))
            },
            transmitting(
                mode, "write-beyond-end", .should, "Error values",
                "a write beyond the size of the device SHOULD be NBD_ENOSPC", needs: [.writable]
            ) { dialogue in
                try dialogue.fail(
                    .write(dialogue.export.size, pattern(4096)), with: ErrorValue.noSpace)
            },
            transmitting(
                mode, "write-across-end", .should, "Error values",
                "a write of which one sector is beyond the size SHOULD be NBD_ENOSPC",
                needs: [.writable]
            ) { dialogue in
                try dialogue.fail(
                    .write(dialogue.export.size - 4096, pattern(8192)), with: ErrorValue.noSpace)
            },
            transmitting(
                mode, "write-overflow", .should, "Error values",
                "an offset whose sum with the length is over 2^64 is beyond the size",
                needs: [.writable]
            ) { dialogue in
                try dialogue.fail(
                    .write(.max - 4095, pattern(8192)), with: ErrorValue.noSpace)
            },
            transmitting(
                mode, "write-error-takes-payload", .must, "Request message",
                "length bytes of data follow a WRITE: the server discards them if it fails",
                needs: [.writable]
            ) { dialogue in
                let size = dialogue.export.size
                let requests = try dialogue.send(
                    together: [
                        .write(size, pattern(65536)), .read(0, 4096),
                        .write(0, pattern(4096), flags: CommandFlag.unknown), .read(4096, 4096),
                    ])
                let answers = try dialogue.receiveAnswers(to: requests)
                try expect(answers[0].error != 0, "a write beyond the end succeeds")
                _ = try answers[1].content()
                _ = try answers[3].content()
            },
        ]
    }

    static func readOnlyCases(_ mode: Mode) -> [ConformanceCase] {
        let requests: [(String, Request, [Need])] = [
            ("write", .write(0, pattern(4096, seed: 77)), []),
            ("trim", .trim(0, 4096), [.flag(.trim)]),
            ("write-zeroes", .writeZeroes(0, 4096), [.flag(.writeZeroes)]),
        ]
        let fails = requests.map { name, request, needs in
            // A client may send TRIM and WRITE_ZEROES only if they are advertised.
            transmitting(
                mode, "read-only-\(name)", .must, "Transmission flags",
                "on a read-only export the server MUST error subsequent write operations",
                needs: [.readOnly] + needs
            ) { dialogue in
                let before = try dialogue.read(0, 4096)
                let answer = try dialogue.call(request)
                try expect(answer.error != 0, "it succeeds")
                try expect(try dialogue.read(0, 4096) == before, "the export has changed")
            }
        }
        let errors = requests.map { name, request, needs in
            transmitting(
                mode, "read-only-\(name)-eperm", .should, "Error values",
                "the error of a write on a read-only export SHOULD be NBD_EPERM",
                needs: [.readOnly] + needs
            ) { dialogue in
                try dialogue.fail(request, with: ErrorValue.notPermitted)
            }
        }
        return fails + errors
    }
}
