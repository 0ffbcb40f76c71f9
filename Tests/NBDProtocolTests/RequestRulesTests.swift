import Testing

@testable import NBDProtocol

@Suite("Rules for requests")
struct RequestRulesTests {
    static let size: UInt64 = 128 << 20
    let rules = RequestRules(exportSize: size, isReadOnly: false)
    let readOnly = RequestRules(exportSize: size, isReadOnly: true)

    @Test("every command is allowed inside the export")
    func inside() {
        for command in [.read, .write, .trim, .writeZeroes, .cache] as [Command] {
            #expect(rules.error(Request(command, offset: 0, length: 1)) == .none)
            #expect(rules.error(Request(command, offset: Self.size - 512, length: 512)) == .none)
        }
        #expect(rules.error(Request(.flush)) == .none)
    }

    @Test(
        "beyond the end: ENOSPC for writes, EINVAL for the rest",
        arguments: [
            (Self.size, 1), (Self.size - 1, 2), (Self.size + 1, 1), (UInt64.max, 1),
            (UInt64.max - 511, 512), (UInt64.max, 0xffff_ffff), (1 << 63, 1 << 20),
        ] as [(UInt64, UInt64)])
    func beyondTheEnd(offset: UInt64, length: UInt64) {
        let isPayload = length <= Limits.maximumPayload
        for command in [.write, .writeZeroes] as [Command] where isPayload || command != .write {
            #expect(rules.error(Request(command, offset: offset, length: length)) == .noSpace)
        }
        for command in [.read, .trim, .cache] as [Command] {
            #expect(rules.error(Request(command, offset: offset, length: length)) == .invalid)
        }
    }

    @Test("a read-only export: EPERM for commands that change it")
    func readOnlyExport() {
        for command in [.write, .trim, .writeZeroes] as [Command] {
            #expect(readOnly.error(Request(command, offset: 0, length: 512)) == .notPermitted)
        }
        for command in [.read, .cache] as [Command] {
            #expect(readOnly.error(Request(command, offset: 0, length: 512)) == .none)
        }
        #expect(readOnly.error(Request(.flush)) == .none)
    }

    @Test(
        "zero bytes: EINVAL", arguments: [.read, .write, .trim, .writeZeroes, .cache] as [Command])
    func zeroLength(command: Command) {
        #expect(rules.error(Request(command, offset: 0, length: 0)) == .invalid)
        #expect(rules.error(Request(command, offset: Self.size, length: 0)) == .invalid)
    }

    @Test("a payload may have 64 MiB, but not a byte more; ranges without one may be longer")
    func payload() {
        for command in [.read, .write] as [Command] {
            #expect(rules.error(Request(command, offset: 0, length: 64 << 20)) == .none)
            #expect(rules.error(Request(command, offset: 0, length: 64 << 20 + 1)) == .invalid)
        }
        for command in [.trim, .writeZeroes, .cache] as [Command] {
            #expect(rules.error(Request(command, offset: 0, length: Self.size)) == .none)
        }
        let large = RequestRules(exportSize: 1 << 40, isReadOnly: false)
        #expect(large.error(Request(.trim, offset: 4096, length: 0xffff_ffff)) == .none)
    }

    @Test("unknown commands: EINVAL", arguments: [7, 8, 9, 100, 0xffff] as [UInt16])
    func unknownCommand(number: UInt16) {
        let request = Request(Command(rawValue: number), offset: 0, length: 512)
        #expect(rules.error(request) == .invalid)
        #expect(readOnly.error(request) == .invalid)
    }

    @Test("FUA is valid with every command")
    func forceUnitAccess() {
        for command in [.read, .write, .trim, .writeZeroes, .cache] as [Command] {
            let request = Request(command, flags: .forceUnitAccess, offset: 0, length: 512)
            #expect(rules.error(request) == .none)
        }
        #expect(rules.error(Request(.flush, flags: .forceUnitAccess)) == .none)
    }

    @Test("NO_HOLE and FAST_ZERO are valid with WRITE_ZEROES only, other flags never")
    func flags() {
        for bit in 1..<16 {
            let flags = CommandFlags(rawValue: 1 << UInt16(bit))
            for command in [.read, .write, .trim, .writeZeroes, .cache] as [Command] {
                let isKnown = command == .writeZeroes && (flags == .noHole || flags == .fastZero)
                let request = Request(command, flags: flags, offset: 0, length: 512)
                #expect(rules.error(request) == (isKnown ? .none : .invalid))
            }
            #expect(rules.error(Request(.flush, flags: flags)) == .invalid)
        }
    }

    @Test("DF is valid with READ, once structured replies were negotiated")
    func dontFragment() {
        for format in [.structured, .extended] as [HeaderFormat] {
            let rules = RequestRules(exportSize: Self.size, isReadOnly: false, format: format)
            for command in [.read, .write, .trim, .writeZeroes, .cache] as [Command] {
                let request = Request(command, flags: .dontFragment, offset: 0, length: 512)
                #expect(rules.error(request) == (command == .read ? .none : .invalid))
            }
        }
    }

    @Test("BLOCK_STATUS needs a context, and only it may have REQ_ONE")
    func blockStatus() {
        let rules = RequestRules(
            exportSize: Self.size, isReadOnly: true, format: .structured, contexts: [0])
        let request = Request(.blockStatus, offset: 0, length: Self.size)
        #expect(rules.error(request) == .none)
        #expect(readOnly.validate(request) == .noContext)
        #expect(rules.error(Request(.blockStatus, offset: 1, length: Self.size)) == .invalid)
        #expect(rules.error(Request(.blockStatus, offset: 0, length: 0)) == .invalid)
        for command in [.read, .trim, .cache, .blockStatus] as [Command] {
            let request = Request(command, flags: .requestOne, offset: 0, length: 512)
            #expect((rules.error(request) == .none) == (command == .blockStatus))
        }
    }

    @Test("PAYLOAD_LEN is valid with WRITE and extended headers only")
    func payloadLength() {
        for format in [.simple, .structured, .extended] as [HeaderFormat] {
            let rules = RequestRules(exportSize: Self.size, isReadOnly: false, format: format)
            for command in [.read, .write, .trim, .writeZeroes, .cache] as [Command] {
                let request = Request(command, flags: .payloadLength, offset: 0, length: 512)
                let isKnown = format == .extended && command == .write
                #expect(rules.error(request) == (isKnown ? .none : .invalid))
            }
        }
    }

    // MARK: - Payloads of BLOCK_STATUS

    private static func rules(_ contexts: ContextSet) -> RequestRules {
        RequestRules(exportSize: size, isReadOnly: true, format: .extended, contexts: contexts)
    }

    @Test(
        "a payload of BLOCK_STATUS has 8 bytes and 4 for each context, of which there is one at least",
        arguments: [
            (0, .payload), (4, .payload), (8, .payload), (10, .payload), (12, nil), (14, .payload),
            (16, nil), (20, nil), (24, .unknownContext), (1 << 20, .unknownContext),
        ] as [(UInt64, RequestError?)])
    func payloadLengths(length: UInt64, fault: RequestError?) {
        let request = Request(.blockStatus, flags: .payloadLength, length: length)
        #expect(Self.rules([0, 1, 4]).validatePayload(of: request) == fault)
        #expect(Self.rules([]).validatePayload(of: request) == .noContext)
        for command in [.read, .trim, .cache, .flush, .writeZeroes] as [Command] {
            let request = Request(command, flags: .payloadLength, length: length)
            #expect(Self.rules([0, 1, 4]).validatePayload(of: request) == .payload)
        }
    }

    @Test(
        "a payload of BLOCK_STATUS selects negotiated contexts, each once, in any order",
        arguments: [
            ([1], [0]), ([5, 1], [0, 4]), ([2, 5, 1], [0, 1, 4]), ([1, 1], nil), ([3], nil),
            ([0], nil), ([9], nil), ([1, .max], nil), ([257], nil),
        ] as [([UInt32], ContextSet?)])
    func selections(identifiers: [UInt32], contexts: ContextSet?) {
        var payload = bytes("0000000100000000")
        for identifier in identifiers { payload.append(bigEndian: identifier) }
        let selection = Self.rules([0, 1, 4]).selection(in: unsafe payload.span.bytes)
        #expect(selection?.contexts == contexts)
        if let selection { #expect(selection.effectLength == 1 << 32) }
    }

    @Test("FLUSH with an offset or a length: EINVAL")
    func flush() {
        #expect(rules.error(Request(.flush, offset: 512)) == .invalid)
        #expect(rules.error(Request(.flush, length: 512)) == .invalid)
    }
}

extension RequestRules {
    /// Returns the error that the client receives.
    fileprivate func error(_ request: Request) -> WireError {
        validate(request)?.error(for: request.command) ?? .none
    }
}
