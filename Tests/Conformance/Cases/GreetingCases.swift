/// Cases about the first messages of both sides.
extension ConformanceSuite {
    static let greetingCases: [ConformanceCase] = [
        ConformanceCase(
            "greeting-newstyle", .must, "Baseline",
            "the server sends the first message: NBDMAGIC, IHAVEOPT and its handshake flags"
        ) { peer in
            _ = try peer.connect()
        },
        ConformanceCase(
            "greeting-fixed-newstyle", .must, "Handshake flags",
            "the fixed newstyle handshake MUST be implemented, and its flag set"
        ) { peer in
            let flags = try peer.connect().handshakeFlags
            try expect(
                flags & HandshakeFlag.fixedNewstyle != 0,
                "the handshake flags are \(hex(flags)), without NBD_FLAG_FIXED_NEWSTYLE")
        },
        ConformanceCase(
            "greeting-no-other-flags", .must, "Handshake flags",
            "the server MUST NOT set any flags but the two that are defined"
        ) { peer in
            let flags = try peer.connect().handshakeFlags
            try expect(flags & ~3 == 0, "the handshake flags are \(hex(flags))")
        },
        ConformanceCase(
            "client-flags-unknown-low", .must, "Client flags",
            "the server MUST drop the connection if the client sets an unknown flag"
        ) { peer in
            let dialogue = try peer.connect()
            try dialogue.sendFlags(UInt32(dialogue.handshakeFlags & 3) | 1 << 2)
            try expectRefused(dialogue, "client flags with bit 2")
        },
        ConformanceCase(
            "client-flags-unknown-high", .must, "Client flags",
            "the server MUST drop the connection if the client sets an unknown flag"
        ) { peer in
            let dialogue = try peer.connect()
            try dialogue.sendFlags(UInt32(dialogue.handshakeFlags & 3) | 1 << 31)
            try expectRefused(dialogue, "client flags with bit 31")
        },
        ConformanceCase(
            "client-flags-not-offered", .must, "Client flags",
            "the server MUST drop the connection if a flag matches nothing it advertised",
            needs: [.zeroesAlways]
        ) { peer in
            let dialogue = try peer.connect()
            try dialogue.sendFlags(3)
            try expectRefused(dialogue, "NO_ZEROES, which was not offered")
        },
        ConformanceCase(
            "client-flags-fixed-only", .must, "Client flags",
            "a client may set NBD_FLAG_C_FIXED_NEWSTYLE alone"
        ) { peer in
            try peer.beginOptions(flags: 1).expectNegotiating()
        },
        ConformanceCase(
            "client-may-leave", .should, "NBD_OPT_ABORT",
            "a client that closes in the middle of the handshake does not disturb the server"
        ) { peer in
            for count in 0..<4 {
                let dialogue = try peer.connect()
                try dialogue.channel.send([UInt8](repeating: 0, count: count))
            }
            try peer.beginOptions().expectNegotiating()
        },
    ]
}

/// The server may receive an option before it drops the connection.
private func expectRefused(_ dialogue: Dialogue, _ why: String) throws {
    do {
        try dialogue.send(option: Option.list)
    } catch is Closed {
        return
    }
    try dialogue.channel.expectClosed(why)
}
