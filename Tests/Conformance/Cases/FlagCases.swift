/// Cases about command flags: those that a server must accept, and those that do not apply to a command.
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
            // DF applies to READ if the server offers it. FAST_ZERO has its own cases.
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
            "DF without structured replies SHOULD be NBD_EINVAL"
        ) { dialogue in
            try dialogue.fail(
                .read(0, 4096, flags: CommandFlag.dontFragment), with: ErrorValue.invalid)
        }
    }
}
