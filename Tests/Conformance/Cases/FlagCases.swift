// Command flags: those that have to be taken, and those that belong somewhere else.

extension ConformanceSuite {
    static func flagCases(_ mode: Mode) -> [ConformanceCase] {
        forceUnitAccessCases(mode) + wrongFlagCases(mode)
    }

    private static let requests: [(String, Request, [Need])] = [
        ("read", .read(0, 4096), []),
        ("write", .write(0, pattern(4096)), [.writable]),
        ("flush", .flush(), [.flag(.flush)]),
        ("trim", .trim(0, 4096), [.writable, .flag(.trim)]),
        ("cache", .cache(0, 4096), [.flag(.cache)]),
        ("write-zeroes", .writeZeroes(0, 4096), [.writable, .flag(.writeZeroes)]),
    ]

    private static func forceUnitAccessCases(_ mode: Mode) -> [ConformanceCase] {
        requests.map { name, request, needs in
            transmitting(
                mode, "fua-on-\(name)", .must, "Command flags",
                "with NBD_FLAG_SEND_FUA the server MUST accept all commands with the FUA flag",
                needs: needs + [.flag(.forceUnitAccess)]
            ) { dialogue in
                var request = request
                request.flags |= CommandFlag.forceUnitAccess
                let plain = try dialogue.call(request).error
                try expect(plain == 0, "it fails with \(plain)")
            }
        }
    }

    private static func wrongFlagCases(_ mode: Mode) -> [ConformanceCase] {
        let flags: [(String, UInt16, Set<String>)] = [
            ("unknown-flag", CommandFlag.unknown, []),
            ("no-hole", CommandFlag.noHole, ["write-zeroes"]),
            // Where DF is offered, it belongs to READ; FAST_ZERO has cases of its own.
            ("df", CommandFlag.dontFragment, ["read"]),
            ("req-one", CommandFlag.requestOne, []),
            ("fast-zero", CommandFlag.fastZero, ["write-zeroes"]),
        ]
        return requests.flatMap { name, request, needs in
            flags.filter { !$0.2.contains(name) }.map { flagName, flag, _ in
                transmitting(
                    mode, "\(flagName)-on-\(name)", .should, "Error values",
                    "a flag that is not documented for the request SHOULD be NBD_EINVAL",
                    needs: needs
                ) { dialogue in
                    var request = request
                    request.flags |= flag
                    try dialogue.fail(request, with: ErrorValue.invalid)
                }
            }
        } + (mode == .simple ? [dontFragmentWithoutChunks] : [])
    }

    private static var dontFragmentWithoutChunks: ConformanceCase {
        transmitting(
            .simple, "df-on-read", .should, "Error values",
            "DF is not for clients without structured replies: it SHOULD be NBD_EINVAL"
        ) { dialogue in
            try dialogue.fail(
                .read(0, 4096, flags: CommandFlag.dontFragment), with: ErrorValue.invalid)
        }
    }
}
