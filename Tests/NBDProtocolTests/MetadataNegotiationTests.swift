import Testing

@testable import NBDProtocol

@Suite("Negotiation of structured replies, extended headers and metadata contexts")
struct MetadataNegotiationTests {
    let structured = fixedNoZeroes + option(.structuredReply)
    let extended = fixedNoZeroes + option(.extendedHeaders)
    let go = option(.go, InfoRequest(exportName: "").encoded)

    /// Returns a SET_META_CONTEXT or LIST_META_CONTEXT for an export.
    func metadata(
        _ code: OptionCode, _ queries: [String], export: String = ""
    ) -> [UInt8] {
        option(code, MetadataRequest(exportName: export, queries: queries).encoded)
    }

    /// Returns a context in a reply, with its identifier.
    func context(_ code: OptionCode, _ identifier: String) -> [UInt8] {
        reply(code, .metaContext, bytes(identifier) + text("base:allocation"))
    }

    @Test("STRUCTURED_REPLY and EXTENDED_HEADERS are acknowledged and take effect")
    func formats() {
        let plain = play(fixedNoZeroes + go)
        #expect(plain.end == .serve(agreed(0)))
        let first = play(structured + go)
        #expect(first.output.starts(with: reply(.structuredReply, .ack)))
        #expect(first.end == .serve(agreed(0, .structured)))
        let second = play(extended + go)
        #expect(second.output.starts(with: reply(.extendedHeaders, .ack)))
        #expect(second.end == .serve(agreed(0, .extended)))
        #expect(
            play(structured + structured.dropFirst(4) + go).end == .serve(agreed(0, .structured)))
    }

    @Test("extended headers take precedence, in whichever order the client asks")
    func precedence() {
        let up = play(structured + option(.extendedHeaders) + go)
        #expect(up.end == .serve(agreed(0, .extended)))
        let down = play(extended + option(.structuredReply) + go)
        #expect(
            down.output.starts(
                with: reply(.extendedHeaders, .ack)
                    + refusal(.structuredReply, .extendedHeaderRequired)))
        #expect(down.end == .serve(agreed(0, .extended)))
    }

    @Test("EXPORT_NAME works with structured replies, but not with extended headers")
    func exportName() {
        // The server announces DF: the flags of the first export with bit 7.
        let short = play(structured + option(.exportName))
        #expect(short.output == reply(.structuredReply, .ack) + bytes("0000000002800000", "00a1"))
        #expect(short.end == .serve(agreed(0, .structured)))
        let closed = play(extended + option(.exportName))
        #expect(closed.output == reply(.extendedHeaders, .ack))
        #expect(closed.end == .fail(.exportNameAfterExtendedHeaders))
    }

    @Test(
        "DF needs structured replies, the payload of BLOCK_STATUS needs a context"
    )
    func flags() throws {
        func flags(_ input: [UInt8]) throws -> TransmissionFlags {
            let output = play(input + go).output
            // The last INFO_EXPORT has 12 bytes, followed by an ACK of 20.
            let end = output.count - OptionReplyHeader.encodedSize
            return TransmissionFlags(
                rawValue: UInt16(output[end - 2]) << 8 | UInt16(output[end - 1]))
        }
        let context = metadata(.setMetaContext, ["base:allocation"])
        let basic: TransmissionFlags = [.hasFlags, .trim]
        #expect(try flags(fixed) == basic)
        #expect(try flags(structured) == basic.union(.dontFragment))
        #expect(try flags(structured + context) == basic.union(.dontFragment))
        #expect(try flags(extended) == basic.union(.dontFragment))
        #expect(
            try flags(extended + context) == basic.union([.dontFragment, .blockStatusPayload]))
    }

    @Test(
        "LIST_META_CONTEXT: all contexts without a query and for the wildcard, else the named ones",
        arguments: [
            ([], true), (["base:"], true), (["base:allocation"], true),
            (["qemu:dirty-bitmap:x", "base:allocation"], true), (["base:other"], false),
            (["qemu:"], false), (["allocation"], false), ([""], false),
        ] as [([String], Bool)])
    func list(queries: [String], isListed: Bool) {
        let (output, _) = play(structured + metadata(.listMetaContext, queries))
        let context = isListed ? context(.listMetaContext, "00000000") : []
        #expect(output == reply(.structuredReply, .ack) + context + reply(.listMetaContext, .ack))
    }

    @Test(
        "SET_META_CONTEXT: only contexts with their full name",
        arguments: [
            ([], false), (["base:"], false), (["base:allocation"], true),
            (["base:allocation", "base:allocation"], true), (["x-y:z", "base:allocation"], true),
            (["base:other"], false), (["Base:allocation"], false),
        ] as [([String], Bool)])
    func set(queries: [String], isSet: Bool) {
        let (output, end) = play(structured + metadata(.setMetaContext, queries) + go)
        let context = isSet ? context(.setMetaContext, "00000001") : []
        #expect(
            output.starts(
                with: reply(.structuredReply, .ack) + context + reply(.setMetaContext, .ack)))
        #expect(end == .serve(agreed(0, .structured, contexts: isSet ? [0] : [])))
    }

    @Test("asking for extended headers twice is an error, and they stay in effect")
    func extendedTwice() {
        let (output, end) = play(extended + option(.extendedHeaders) + go)
        #expect(
            output.starts(
                with: reply(.extendedHeaders, .ack)
                    + reply(
                        .extendedHeaders, .invalid, text("extended headers were negotiated already")
                    )))
        #expect(end == .serve(agreed(0, .extended)))
    }

    @Test("a later SET_META_CONTEXT replaces an earlier one, even if it fails")
    func replaces() {
        let chosen = structured + metadata(.setMetaContext, ["base:allocation"])
        let failures: [[UInt8]] = [
            metadata(.setMetaContext, []),
            metadata(.setMetaContext, ["base:allocation"], export: "unknown"),
            option(.setMetaContext, [1, 2, 3]),
            option(.setMetaContext, [UInt8](repeating: 0, count: Limits.optionDataKept + 1)),
        ]
        for failure in failures {
            #expect(play(chosen + failure + go).end == .serve(agreed(0, .structured)))
        }
        #expect(
            play(chosen + metadata(.listMetaContext, []) + go).end
                == .serve(agreed(0, .structured, contexts: [0])))
    }

    @Test("a context belongs to the export it was selected for; the empty name means the first")
    func otherExport() {
        let second = option(.go, InfoRequest(exportName: "zweite ü").encoded)
        let chosen = structured + metadata(.setMetaContext, ["base:allocation"], export: "first")
        #expect(play(chosen + second).end == .serve(agreed(1, .structured)))
        #expect(play(chosen + go).end == .serve(agreed(0, .structured, contexts: [0])))
    }

    @Test(
        "without structured replies: ERR_INVALID",
        arguments: [.listMetaContext, .setMetaContext] as [OptionCode])
    func withoutStructuredReplies(code: OptionCode) {
        let (output, end) = play(fixedNoZeroes + metadata(code, ["base:allocation"]) + go)
        #expect(output.starts(with: refusal(code, .invalid)))
        #expect(end == .serve(agreed(0)))
    }

    @Test(
        "an export that does not exist: ERR_UNKNOWN",
        arguments: [.listMetaContext, .setMetaContext] as [OptionCode])
    func unknownExport(code: OptionCode) {
        let (output, _) = play(structured + metadata(code, [], export: "unknown"))
        #expect(output == reply(.structuredReply, .ack) + refusal(code, .unknownExport))
    }

    @Test(
        "lengths that do not add up, and invalid strings: ERR_INVALID",
        arguments: [
            [], bytes("00000000"), bytes("00000001"), bytes("00000000 00000001"),
            bytes("00000000 00000001 00000002 62"), bytes("00000000 00000000 00"),
            bytes("ffffffff 00000000"), bytes("00000000 ffffffff"),
            bytes("00000000 00000001 ffffffff 62"), bytes("00000000 00000001 00000002 c328"),
            bytes("00000000 00000001 00000002 6200"),
            bytes("00000000 00000001 00001001") + [UInt8](repeating: 0x62, count: 4097),
        ])
    func malformed(data: [UInt8]) {
        for code in [.listMetaContext, .setMetaContext] as [OptionCode] {
            let (output, _) = play(structured + option(code, data))
            #expect(output == reply(.structuredReply, .ack) + refusal(code, .invalid))
        }
    }

    // MARK: - Several contexts

    private static let several: [MetadataContext] = [
        .allocation, .allocationDepth, .dirtyBitmap("monday"), .dirtyBitmap("a:b ü"),
        MetadataContext(name: "x-test:one"),
    ]
    private static let export = ExportInfo(
        name: "disk", description: "", size: 4096, flags: [.hasFlags], contexts: several)

    /// Returns the contexts, by their indices, that the replies to an option name.
    private func contexts(
        _ code: OptionCode, _ queries: [String], isSet: Bool = false
    ) -> (indices: [Int], end: ServerNegotiation.Action?) {
        let (output, end) = play(
            structured + metadata(code, queries) + go, exports: [Self.export])
        var expected: [UInt8] = reply(.structuredReply, .ack)
        var indices: [Int] = []
        for (index, context) in Self.several.enumerated() {
            var data: [UInt8] = []
            data.append(bigEndian: isSet ? UInt32(index + 1) : 0)
            let entry = reply(code, .metaContext, data + text(context.name))
            guard output.dropFirst(expected.count).starts(with: entry) else { continue }
            expected += entry
            indices.append(index)
        }
        // Each once, in the order of the export's list, and nothing else.
        #expect(output.starts(with: expected + reply(code, .ack)))
        return (indices, end)
    }

    @Test(
        "LIST_META_CONTEXT: names, namespaces and qemu:dirty-bitmap: list contexts, each once",
        arguments: [
            ([], [0, 1, 2, 3, 4]), (["base:"], [0]), (["qemu:"], [1, 2, 3]),
            (["qemu:dirty-bitmap:"], [2, 3]), (["qemu:dirty-bitmap:monday"], [2]),
            (["qemu:dirty-bitmap:a:b ü"], [3]), (["qemu:dirty-bitmap:a:b u\u{308}"], []),
            (["qemu:dirty-bitmap:a:"], []), (["qemu:dirty-bitmap:mon"], []),
            (["qemu:dirty-bitmap"], []), (["qemu:allocation-depth"], [1]),
            (["qemu:allocation-depth:"], []), (["qemu:allocation"], []), (["x-test:"], [4]),
            (["x-other:"], []), (["QEMU:"], []), ([":"], []), (["qemu"], []), (["q:"], []),
            (["x-test:one", "qemu:", "base:", "qemu:dirty-bitmap:monday"], [0, 1, 2, 3, 4]),
        ] as [([String], [Int])])
    func listSeveral(queries: [String], expected: [Int]) {
        #expect(contexts(.listMetaContext, queries).indices == expected)
    }

    @Test(
        "SET_META_CONTEXT: names select contexts, each once; wildcards select none",
        arguments: [
            ([], []), (["qemu:"], []), (["qemu:dirty-bitmap:"], []), (["base:"], []),
            (["x-test:"], []), (["qemu:allocation-depth"], [1]),
            (["qemu:dirty-bitmap:monday", "base:allocation"], [0, 2]),
            (["qemu:dirty-bitmap:a:b ü", "qemu:dirty-bitmap:a:b ü"], [3]),
            (["qemu:dirty-bitmap:tuesday", "qemu:allocation-depth "], []),
            (
                [
                    "x-test:one", "qemu:dirty-bitmap:a:b ü", "qemu:dirty-bitmap:monday", "qemu:",
                    "qemu:allocation-depth", "base:allocation", "x-test:one",
                ], [0, 1, 2, 3, 4]
            ),
        ] as [([String], [Int])])
    func setSeveral(queries: [String], expected: [Int]) {
        let (indices, end) = contexts(.setMetaContext, queries, isSet: true)
        #expect(indices == expected)
        var set = ContextSet()
        for index in expected { set.insert(index) }
        #expect(end == .serve(agreed(0, .structured, contexts: set)))
    }

    @Test(
        "a context can be offered if its name has a namespace and a leaf-name",
        arguments: [
            ("base:allocation", true), ("x-test:a:b", true), ("x-ü:ü", true), ("base:", false),
            (":leaf", false), ("leaf", false), ("", false), ("a b:c", false), ("a:b\0", false),
            ("qemu:dirty-bitmap:", false), ("qemu:dirty-bitmap:a", true),
        ])
    func names(name: String, isValid: Bool) {
        #expect(MetadataContext(name: name).isValid == isValid)
        #expect(!MetadataContext(name: "x:" + String(repeating: "y", count: 4095)).isValid)
    }

    @Test("thousands of queries are accepted")
    func manyQueries() {
        let queries = Array(repeating: "x:y", count: 8_000) + ["base:allocation"]
        let (_, end) = play(structured + metadata(.setMetaContext, queries) + go)
        #expect(end == .serve(agreed(0, .structured, contexts: [0])))
    }
}
