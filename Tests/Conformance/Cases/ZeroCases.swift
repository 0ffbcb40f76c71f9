/// Cases about `NBD_CMD_TRIM` and `NBD_CMD_WRITE_ZEROES`.
extension ConformanceSuite {
    private static let writeZeroes = "NBD_CMD_WRITE_ZEROES"
    private static let trim = "NBD_CMD_TRIM"

    static func trimCases(_ mode: Mode) -> [ConformanceCase] {
        let needs: [Need] = [.writable, .flag(.trim)]
        return [
            transmitting(mode, "trim", .must, trim, "a trim gets a reply", needs: needs) {
                try $0.succeed(.trim(0, 65536))
            },
            transmitting(
                mode, "trim-leaves-others", .must, trim,
                "the range may be rounded inwards only: nothing outside it changes",
                needs: needs
            ) { dialogue in
                try expectOthersUnchanged(dialogue, .trim(4096, 4096))
            },
            transmitting(
                mode, "trim-any-alignment", .must, trim,
                "a trim within a page does not change the rest of that page",
                needs: needs + [.anyAlignment]
            ) { dialogue in
                try expectOthersUnchanged(dialogue, .trim(4096 + 100, 1000))
            },
            transmitting(
                mode, "trim-no-length", .should, trim,
                "a trim length of 0 is unspecified, but the server SHOULD NOT disconnect",
                needs: needs
            ) { dialogue in
                _ = try dialogue.call(.trim(0, 0))
            },
            transmitting(
                mode, "trim-beyond-end", .should, "Error values",
                "a trim beyond the size of the device SHOULD be NBD_EINVAL", needs: needs
            ) { dialogue in
                try dialogue.fail(.trim(dialogue.export.size, 4096), with: ErrorValue.invalid)
            },
            transmitting(
                mode, "trim-across-end", .should, "Error values",
                "a trim of which one sector is beyond the size SHOULD be NBD_EINVAL", needs: needs
            ) { dialogue in
                try dialogue.fail(
                    .trim(dialogue.export.size - 4096, 8192), with: ErrorValue.invalid)
            },
            large(mode, "trim-large", needs) { .trim(0, $0) },
        ]
    }

    static func writeZeroesCases(_ mode: Mode) -> [ConformanceCase] {
        let needs: [Need] = [.writable, .flag(.writeZeroes)]
        let section = writeZeroes
        return [
            transmitting(
                mode, "write-zeroes", .must, section,
                "the server MUST ensure that the data reads back as zero", needs: needs
            ) { dialogue in
                try expectZeroes(dialogue, flags: 0)
            },
            transmitting(
                mode, "write-zeroes-no-hole", .must, "Command flags",
                "NO_HOLE MUST be supported with NBD_FLAG_SEND_WRITE_ZEROES", needs: needs
            ) { dialogue in
                try expectZeroes(dialogue, flags: CommandFlag.noHole)
            },
            transmitting(
                mode, "write-zeroes-leaves-others", .must, section,
                "offset and length define the range: nothing outside it changes", needs: needs
            ) { dialogue in
                try expectOthersUnchanged(dialogue, .writeZeroes(4096, 4096))
            },
            transmitting(
                mode, "write-zeroes-any-alignment", .should, "Size constraints",
                "a server SHOULD support a minimum block size of 1 if none is advertised",
                needs: needs + [.anyAlignment]
            ) { dialogue in
                try expectOthersUnchanged(dialogue, .writeZeroes(4096 + 100, 1000))
                let zeroes = try dialogue.read(4096 + 100, 1000)
                try expect(zeroes.allSatisfy { $0 == 0 }, "it does not read back as zero")
            },
            transmitting(
                mode, "write-zeroes-no-length", .should, section,
                "a length of 0 is unspecified, but the server SHOULD NOT disconnect", needs: needs
            ) { dialogue in
                _ = try dialogue.call(.writeZeroes(0, 0))
            },
            transmitting(
                mode, "write-zeroes-beyond-end", .should, section,
                "beyond the size of the device it SHOULD be NBD_ENOSPC", needs: needs
            ) { dialogue in
                try dialogue.fail(
                    .writeZeroes(dialogue.export.size, 4096), with: ErrorValue.noSpace)
            },
            transmitting(
                mode, "write-zeroes-across-end", .should, section,
                "with one sector beyond the size of the device it SHOULD be NBD_ENOSPC",
                needs: needs
            ) { dialogue in
                try dialogue.fail(
                    .writeZeroes(dialogue.export.size - 4096, 8192), with: ErrorValue.noSpace)
            },
            large(mode, "write-zeroes-large", needs) { .writeZeroes(0, $0) },
            transmitting(
                mode, "write-zeroes-never-enotsup", .must, section,
                "without FAST_ZERO the server MUST NOT fail with NBD_ENOTSUP", needs: needs
            ) { dialogue in
                for flags in [0, CommandFlag.noHole] {
                    let error = try dialogue.call(.writeZeroes(0, 65536, flags: flags)).error
                    try expect(error != ErrorValue.notSupported, "it fails with NBD_ENOTSUP")
                }
            },
        ]
    }

    static func fastZeroCases(_ mode: Mode) -> [ConformanceCase] {
        let needs: [Need] = [.writable, .flag(.fastZero)]
        let section = writeZeroes
        let fast = CommandFlag.fastZero
        return [
            transmitting(
                mode, "fast-zero", .must, section,
                "a fast zero succeeds, and reads back as zero, or is NBD_ENOTSUP", needs: needs
            ) { dialogue in
                try dialogue.succeed(.write(0, pattern(65536)))
                let error = try dialogue.call(.writeZeroes(0, 65536, flags: fast)).error
                try expect([0, ErrorValue.notSupported].contains(error), "the error is \(error)")
                guard error == 0 else { return }
                let bytes = try dialogue.read(0, 65536)
                try expect(bytes.allSatisfy { $0 == 0 }, "it does not read back as zero")
            },
            transmitting(
                mode, "fast-zero-alters-nothing", .should, section,
                "the export SHOULD NOT be altered by a failure with NBD_ENOTSUP", needs: needs
            ) { dialogue in
                let data = pattern(65536)
                try dialogue.succeed(.write(0, data))
                let error = try dialogue.call(.writeZeroes(0, 65536, flags: fast)).error
                guard error == ErrorValue.notSupported else { return }
                try expect(try dialogue.read(0, 65536) == data, "the export has changed")
            },
            transmitting(
                mode, "fast-zero-no-overflow", .should, section,
                "a fast zero SHOULD NOT fail with NBD_EOVERFLOW, whatever its length",
                needs: needs + [.size(48 << 20)]
            ) { dialogue in
                let error = try dialogue.call(.writeZeroes(0, 48 << 20, flags: fast)).error
                try expect([0, ErrorValue.notSupported].contains(error), "the error is \(error)")
            },
            transmitting(
                mode, "fast-zero-not-offered", .should, section,
                "FAST_ZERO that was not advertised SHOULD be NBD_EINVAL, not NBD_ENOTSUP",
                needs: [.writable, .flag(.writeZeroes), .noFlag(.fastZero)]
            ) { dialogue in
                try dialogue.fail(.writeZeroes(0, 4096, flags: fast), with: ErrorValue.invalid)
            },
        ]
    }

    // MARK: - Helpers

    /// A length above any maximum payload, for requests without one.
    private static func large(
        _ mode: Mode, _ name: String, _ needs: [Need],
        _ request: @escaping @Sendable (UInt64) -> Request
    ) -> ConformanceCase {
        transmitting(
            mode, name, .should, "Size constraints",
            "a request without payload MAY be larger than the maximum payload: the server SHOULD "
                + "NOT disconnect, and an error is NBD_EOVERFLOW or NBD_EINVAL",
            needs: needs + [.size(48 << 20)]
        ) { dialogue in
            let error = try dialogue.call(request(48 << 20)).error
            try expect(
                [0, ErrorValue.overflow, ErrorValue.invalid].contains(error),
                "the error is \(error)")
        }
    }

    private static func expectZeroes(_ dialogue: Dialogue, flags: UInt16) throws {
        try dialogue.succeed(.write(0, pattern(65536)))
        try dialogue.succeed(.writeZeroes(4096, 32768, flags: flags))
        let bytes = try dialogue.read(4096, 32768)
        try expect(bytes.allSatisfy { $0 == 0 }, "it does not read back as zero")
    }

    /// Writes three pages of data, and sends a request for a part of the second one.
    private static func expectOthersUnchanged(_ dialogue: Dialogue, _ request: Request) throws {
        let data = pattern(3 * 4096, seed: 6)
        try dialogue.succeed(.write(0, data))
        try dialogue.succeed(request)
        let bytes = try dialogue.read(0, 3 * 4096)
        let start = Int(request.offset)
        let end = start + Int(request.length)
        try expect(
            bytes[..<start] == data[..<start] && bytes[end...] == data[end...],
            "bytes outside the range change")
    }
}
