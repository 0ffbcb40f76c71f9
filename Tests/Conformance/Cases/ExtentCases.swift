/// Cases about whether the extents of `base:allocation` are true.
extension ConformanceSuite {
    private static let section = "base:allocation metadata context"

    static func extentCases(_ mode: Mode) -> [ConformanceCase] {
        guard mode != .simple else { return [] }
        return truthCases(mode) + shapeCases(mode)
    }

    private static func truthCases(_ mode: Mode) -> [ConformanceCase] {
        [
            status(
                mode, "extents-data-is-not-zero", .must, section,
                "a block with NBD_STATE_ZERO reads as zeroes: a block with data does not have it",
                needs: [.writable]
            ) { dialogue in
                try dialogue.succeed(.write(65536, pattern(65536)))
                var covered: UInt64 = 0
                for extent in try extents(dialogue, .blockStatus(65536, 65536)) {
                    try expect(
                        !extent.isZero || covered >= 65536, "written data is reported as zero")
                    covered += extent.length
                }
            },
            status(
                mode, "extents-zero-reads-zero", .must, section,
                "a range with NBD_STATE_ZERO reads as all zeroes"
            ) { dialogue in
                if !dialogue.export.flags.contains(.readOnly) { try scatter(dialogue) }
                var offset: UInt64 = 0
                for extent in try extents(dialogue, .blockStatus(0, 1 << 20)) where offset < 1 << 20
                {
                    let length = min(extent.length, 1 << 20 - offset)
                    if extent.isZero {
                        let bytes = try dialogue.read(offset, length)
                        try expect(
                            bytes.allSatisfy { $0 == 0 },
                            "\(length) bytes at \(offset) are reported as zero, but are not")
                    }
                    offset += extent.length
                }
            },
            status(
                mode, "extents-write-zeroes-no-hole", .should, "NBD_CMD_WRITE_ZEROES",
                "with NO_HOLE the range is fully provisioned, so it should not be reported as a hole",
                needs: [.writable, .flag(.writeZeroes)]
            ) { dialogue in
                try dialogue.succeed(
                    .writeZeroes(131_072, 65536, flags: CommandFlag.noHole))
                var covered: UInt64 = 0
                for extent in try extents(dialogue, .blockStatus(131_072, 65536)) {
                    try expect(!extent.isHole || covered >= 65536, "it is reported as a hole")
                    covered += extent.length
                }
            },
            status(
                mode, "extents-reserved-flags", .should, section,
                "the remainder of the flags SHOULD be zero"
            ) { dialogue in
                for extent in try extents(dialogue, .blockStatus(0, 1 << 20)) {
                    try expect(extent.flags & ~3 == 0, "the flags are \(hex(extent.flags))")
                }
            },
        ]
    }

    private static func shapeCases(_ mode: Mode) -> [ConformanceCase] {
        let section = "NBD_CMD_BLOCK_STATUS"
        return [
            status(
                mode, "extents-differ", .should, section,
                "the server SHOULD use different status values between consecutive descriptors",
                needs: [.writable]
            ) { dialogue in
                try scatter(dialogue)
                let extents = try extents(dialogue, .blockStatus(0, 1 << 20))
                for (first, second) in zip(extents, extents.dropFirst()) {
                    try expect(
                        first.flags != second.flags,
                        "two consecutive descriptors have the flags \(first.flags)")
                }
            },
            status(
                mode, "extents-sectors", .should, section,
                "lengths SHOULD be a multiple of 512 bytes where possible", needs: [.writable]
            ) { dialogue in
                try scatter(dialogue)
                for extent in try extents(dialogue, .blockStatus(0, 1 << 20)) {
                    try expect(
                        extent.length.isMultiple(of: 512), "an extent has \(extent.length) bytes")
                }
            },
            ConformanceCase(
                "\(mode.rawValue)-extents-blocks", mode == .extended ? .must : .should, section,
                "lengths are a multiple of the advertised minimum block size",
                needs: mode.needs + [.allocationContext, .writable, .blockSizes]
            ) { peer in
                let dialogue = try peer.transmit(mode, contexts: ["base:allocation"])
                try scatter(dialogue)
                let minimum = UInt64(peer.offer.minimumBlockSize)
                for extent in try extents(dialogue, .blockStatus(0, 1 << 20)) {
                    try expect(
                        extent.length.isMultiple(of: minimum),
                        "an extent has \(extent.length) bytes, a block \(minimum)")
                }
            },
        ]
    }
}
