/// Cases about `NBD_INFO_BLOCK_SIZE`, and the values that it may have.
extension ConformanceSuite {
    private static let section = "Size constraints"

    static let blockSizeCases: [ConformanceCase] = [
        negotiating(
            "info-block-size-length", .must, "NBD_INFO_BLOCK_SIZE", "length MUST be 14",
            needs: [.blockSizes]
        ) { dialogue in
            _ = try sizes(dialogue)
        },
        negotiating(
            "info-block-size-minimum", .must, section,
            "the minimum block size MUST be a power of 2, not larger than 2^16",
            needs: [.blockSizes]
        ) { dialogue in
            let minimum = try sizes(dialogue).sizes.minimum
            try expect(
                minimum.nonzeroBitCount == 1 && minimum <= 1 << 16, "the minimum is \(minimum)")
        },
        negotiating(
            "info-block-size-preferred", .must, section,
            "the preferred size MUST be a power of 2, at least the minimum and 512",
            needs: [.blockSizes]
        ) { dialogue in
            let sizes = try sizes(dialogue).sizes
            try expect(
                sizes.preferred.nonzeroBitCount == 1
                    && sizes.preferred >= max(sizes.minimum, 512),
                "minimum \(sizes.minimum), preferred \(sizes.preferred)")
        },
        negotiating(
            "info-block-size-maximum", .must, section,
            "the maximum payload MUST be at least as large as the preferred size",
            needs: [.blockSizes]
        ) { dialogue in
            let sizes = try sizes(dialogue).sizes
            try expect(
                sizes.maximumPayload >= sizes.preferred,
                "preferred \(sizes.preferred), maximum \(sizes.maximumPayload)")
        },
        negotiating(
            "info-block-size-megabyte", .should, section,
            "the maximum payload SHOULD be at least 2^20 if the export is that large",
            needs: [.blockSizes, .size(1 << 20)]
        ) { dialogue in
            let maximum = try sizes(dialogue).sizes.maximumPayload
            try expect(maximum >= 1 << 20, "the maximum is \(maximum)")
        },
        negotiating(
            "info-block-size-multiple", .should, section,
            "the export's size SHOULD be a multiple of the minimum block size",
            needs: [.blockSizes]
        ) { dialogue in
            let (size, sizes) = try sizes(dialogue)
            try expect(
                sizes.minimum > 0 && size.isMultiple(of: UInt64(sizes.minimum)),
                "\(size) bytes in blocks of \(sizes.minimum)")
        },
        negotiating(
            "info-block-size-not-required", .must, "NBD_OPT_INFO and NBD_OPT_GO",
            "ERR_BLOCK_SIZE_REQD MUST NOT be sent if size constraints were requested"
        ) { dialogue in
            for option in [Option.info, Option.go] {
                let end = try dialogue.ask(
                    option, information(dialogue.exportName, [Information.blockSize])
                ).end
                try expect(end.code != Reply.blockSizeRequired, "the reply is \(end)")
            }
        },
        negotiating(
            "info-block-size-optional", .should, "NBD_OPT_INFO and NBD_OPT_GO",
            "ERR_BLOCK_SIZE_REQD SHOULD NOT be sent where sizes are the default ones",
            needs: [.anyAlignment]
        ) { dialogue in
            let end = try dialogue.ask(Option.go, information(dialogue.exportName)).end
            try expect(end.code == Reply.ack, "the reply is \(end)")
        },
    ]

    private static func sizes(
        _ dialogue: Dialogue
    ) throws -> (size: UInt64, sizes: BlockSizes) {
        guard let facts = try info(dialogue, [Information.blockSize]).facts,
            let sizes = facts.blockSizes
        else { throw Deviation("there is no NBD_INFO_BLOCK_SIZE") }
        return (facts.size, sizes)
    }
}
