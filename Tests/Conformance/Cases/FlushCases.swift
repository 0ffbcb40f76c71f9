/// Cases about `NBD_CMD_FLUSH`, `NBD_CMD_CACHE` and `NBD_CMD_DISC`, and what other connections see.
extension ConformanceSuite {
    static func flushCases(_ mode: Mode) -> [ConformanceCase] {
        [
            transmitting(
                mode, "flush", .must, "NBD_CMD_FLUSH", "a flush gets a reply",
                needs: [.flag(.flush)]
            ) {
                try $0.succeed(.flush())
            },
            ConformanceCase(
                "\(mode.rawValue)-flush-seen-by-others", .must, "Transmission flags",
                "with CAN_MULTI_CONN a flush's effect MUST be visible across all connections",
                needs: mode.needs + [.writable, .flag(.flush), .flag(.multipleConnections)]
            ) { peer in
                let writer = try peer.transmit(mode)
                let reader = try peer.transmit(mode)
                for seed in 20..<24 as Range<UInt64> {
                    let data = pattern(65536, seed: seed)
                    try writer.succeed(.write(65536, data))
                    try writer.succeed(.flush())
                    try expect(
                        try reader.read(65536, 65536) == data, "the other connection reads old data"
                    )
                }
            },
            ConformanceCase(
                "\(mode.rawValue)-fua-seen-by-others", .must, "Transmission flags",
                "with CAN_MULTI_CONN the effect of FUA MUST be visible across all connections",
                needs: mode.needs
                    + [.writable, .flag(.forceUnitAccess), .flag(.multipleConnections)]
            ) { peer in
                let writer = try peer.transmit(mode)
                let reader = try peer.transmit(mode)
                for seed in 24..<28 as Range<UInt64> {
                    let data = pattern(65536, seed: seed)
                    try writer.succeed(
                        .write(65536, data, flags: CommandFlag.forceUnitAccess))
                    try expect(
                        try reader.read(65536, 65536) == data, "the other connection reads old data"
                    )
                }
            },
        ]
    }

    static func cacheCases(_ mode: Mode) -> [ConformanceCase] {
        [
            transmitting(
                mode, "cache", .must, "NBD_CMD_CACHE",
                "a cache request changes nothing, and its error is a known value",
                needs: [.flag(.cache)]
            ) { dialogue in
                let before = try dialogue.read(0, 65536)
                let error = try dialogue.call(.cache(0, 65536)).error
                try expect(ErrorValue.all.contains(error), "the error is \(error)")
                try expect(try dialogue.read(0, 65536) == before, "the export has changed")
            },
            transmitting(
                mode, "cache-unknown-flag", .must, "NBD_CMD_CACHE",
                "if it is advertised, any flags that are not recognized MUST be rejected",
                needs: [.flag(.cache)]
            ) { dialogue in
                let answer = try dialogue.call(.cache(0, 4096, flags: CommandFlag.unknown))
                try expect(answer.error != 0, "it succeeds")
            },
            transmitting(
                mode, "cache-beyond-end", .should, "Size constraints",
                "a request that would exceed the export size SHOULD be NBD_EINVAL",
                needs: [.flag(.cache)]
            ) { dialogue in
                try dialogue.fail(.cache(dialogue.export.size, 4096), with: ErrorValue.invalid)
            },
            transmitting(
                mode, "cache-large", .should, "Size constraints",
                "a request without payload MAY be larger than the maximum payload: the server "
                    + "SHOULD NOT disconnect",
                needs: [.flag(.cache), .size(48 << 20)]
            ) { dialogue in
                _ = try dialogue.call(.cache(0, 48 << 20))
            },
        ]
    }

    static func disconnectCases(_ mode: Mode) -> [ConformanceCase] {
        let section = "NBD_CMD_DISC"
        return [
            ConformanceCase(
                "\(mode.rawValue)-disconnect", .must, section,
                "there is no reply, and the server MUST close the connection", needs: mode.needs
            ) { peer in
                let dialogue = try peer.transmit(mode)
                try dialogue.expectAlive()
                try dialogue.send(Request(command: Command.disconnect))
                try dialogue.channel.expectClosed("DISC")
            },
            ConformanceCase(
                "\(mode.rawValue)-disconnect-finishes", .must, section,
                "the server MUST handle all outstanding requests before it closes",
                needs: mode.needs + [.writable]
            ) { peer in
                // Some servers lose one request in several attempts.
                for round in 0..<20 as Range<UInt64> {
                    let dialogue = try peer.transmit(mode)
                    let data = pattern(4096, seed: 100 * round + UInt64(mode.rawValue.count))
                    _ = try dialogue.send(
                        together: [
                            .write(12288, data), Request(command: Command.disconnect),
                        ])
                    dialogue.channel.finishSending()
                    try dialogue.channel.drain()
                    // The client may see the end of the stream before the server has finished.
                    let other = try peer.transmit(mode)
                    for _ in 0..<50 where try other.read(12288, 4096) != data {
                        Channel.pause(milliseconds: 20)
                    }
                    try expect(
                        try other.read(12288, 4096) == data, "a write before DISC was lost")
                }
            },
            ConformanceCase(
                "\(mode.rawValue)-client-leaves", .should, "Terminating the transmission phase",
                "a client that closes without DISC does not disturb the server",
                needs: mode.needs
            ) { peer in
                for _ in 0..<4 {
                    let dialogue = try peer.transmit(mode)
                    try dialogue.channel.send([0x25, 0x60])
                }
                try peer.transmit(mode).expectAlive()
            },
        ]
    }
}
