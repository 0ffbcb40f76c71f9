/// Cases about `NBD_OPT_EXPORT_NAME`, the option without an error reply.
extension ConformanceSuite {
    private static let section = "NBD_OPT_EXPORT_NAME"

    static let exportNameCases: [ConformanceCase] = [
        ConformanceCase(
            "opt-export-name", .should, "Maximum interoperability",
            "servers SHOULD implement NBD_OPT_EXPORT_NAME for older clients"
        ) { peer in
            _ = try begin(peer, flags: nil)
        },
        ConformanceCase(
            "opt-export-name-newstyle", .should, "Newstyle negotiation",
            "a client that sets no flags can use EXPORT_NAME"
        ) { peer in
            try begin(peer, flags: 0).expectAlive()
        },
        ConformanceCase(
            "opt-export-name-zeroes", .must, "Newstyle negotiation",
            "124 zero bytes follow unless NO_ZEROES was negotiated"
        ) { peer in
            let dialogue = try begin(peer, flags: 1)
            try dialogue.expectAlive()
        },
        ConformanceCase(
            "opt-export-name-no-zeroes", .must, "Handshake flags",
            "with NO_ZEROES negotiated, the server MUST NOT send the 124 bytes of zero"
        ) { peer in
            let dialogue = try begin(peer, flags: 3)
            try dialogue.expectAlive()
        },
        ConformanceCase(
            "opt-export-name-after-options", .must, section,
            "EXPORT_NAME ends option negotiation, whatever options came before"
        ) { peer in
            let dialogue = try peer.beginOptions()
            try dialogue.expectNegotiating()
            _ = try dialogue.ask(Option.info, information(peer.exportName))
            try choose(dialogue)
            try dialogue.expectAlive()
        },
        ConformanceCase(
            "opt-export-name-has-flags", .must, "Transmission flags",
            "NBD_FLAG_HAS_FLAGS MUST always be 1"
        ) { peer in
            let flags = try begin(peer, flags: nil).export.flags
            try expect(flags.contains(.hasFlags), "the flags are \(hex(flags.rawValue))")
        },
        ConformanceCase(
            "opt-export-name-same-as-go", .must, "NBD_REP_INFO",
            "NBD_INFO_EXPORT has the same content as the reply to EXPORT_NAME"
        ) { peer in
            let old = try begin(peer, flags: nil).export
            let new = try peer.transmit(ask: []).export
            try expect(old.size == new.size, "EXPORT_NAME: \(old.size), GO: \(new.size) bytes")
            try expect(
                old.flags == new.flags,
                "EXPORT_NAME: flags \(hex(old.flags.rawValue)), GO: \(hex(new.flags.rawValue))")
        },
        ConformanceCase(
            "opt-export-name-no-df", .must, "Transmission flags",
            "NBD_FLAG_SEND_DF MUST be clear if structured replies have not been negotiated"
        ) { peer in
            let flags = try begin(peer, flags: nil).export.flags
            try expect(
                !flags.contains(.dontFragment), "the reply to EXPORT_NAME has NBD_FLAG_SEND_DF")
        },
        ConformanceCase(
            "opt-export-name-unknown", .must, section,
            "if the export does not exist, the server MUST terminate the session",
            needs: [.refusedNames]
        ) { peer in
            let dialogue = try peer.beginOptions()
            try dialogue.send(option: Option.exportName, Array("no such export, surely".utf8))
            try dialogue.channel.expectClosed("an unknown name")
        },
        ConformanceCase(
            "opt-export-name-long", .must, section,
            "no export has a name longer than 4096 bytes: the session ends", needs: [.refusedNames]
        ) { peer in
            let dialogue = try peer.beginOptions()
            do {
                try dialogue.send(
                    option: Option.exportName, [UInt8](repeating: 0x61, count: 5000))
            } catch is Closed { return }
            try dialogue.channel.expectClosed("a name of 5000 bytes")
        },
    ]

    /// Connects with these client flags (nil for those that the server offers), and chooses the export.
    private static func begin(_ peer: Peer, flags: UInt32?) throws -> Dialogue {
        let offered = UInt32(peer.offer.handshakeFlags)
        let flags = (flags ?? 3) & offered
        let dialogue = try peer.beginOptions(flags: flags)
        try choose(dialogue, hasZeroes: flags & UInt32(HandshakeFlag.noZeroes) == 0)
        return dialogue
    }

    private static func choose(_ dialogue: Dialogue, hasZeroes: Bool? = nil) throws {
        try dialogue.send(option: Option.exportName, Array(dialogue.exportName.utf8))
        dialogue.export = try ExportFacts(dialogue.channel.receive(10))
        guard hasZeroes ?? (dialogue.handshakeFlags & HandshakeFlag.noZeroes == 0) else { return }
        let zeroes = try dialogue.channel.receive(124)
        try expect(zeroes.allSatisfy { $0 == 0 }, "the 124 bytes are not all zero")
    }
}
