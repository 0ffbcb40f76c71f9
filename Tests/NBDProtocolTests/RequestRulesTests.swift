// Each rule of a request, with what is just inside it and what is just outside.

import Testing

@testable import NBDProtocol

@Suite("Rules for requests")
struct RequestRulesTests {
    static let size: UInt64 = 64 << 20
    let rules = RequestRules(exportSize: size, isReadOnly: false)
    let readOnly = RequestRules(exportSize: size, isReadOnly: true)

    @Test("every command is fine inside the export")
    func inside() {
        for command in [.read, .write, .trim, .writeZeroes, .cache] as [Command] {
            #expect(rules.check(Request(command, offset: 0, length: 1)) == .none)
            #expect(rules.check(Request(command, offset: Self.size - 512, length: 512)) == .none)
        }
        #expect(rules.check(Request(.flush)) == .none)
    }

    @Test(
        "beyond the end: ENOSPC for what writes, EINVAL for the rest",
        arguments: [
            (Self.size, 1), (Self.size - 1, 2), (Self.size + 1, 1), (UInt64.max, 1),
            (UInt64.max - 511, 512), (UInt64.max, 0xffff_ffff), (1 << 63, 1 << 20),
        ] as [(UInt64, UInt64)])
    func beyondTheEnd(offset: UInt64, length: UInt64) {
        let isPayload = length <= Limits.maximumPayload
        for command in [.write, .writeZeroes] as [Command] where isPayload || command != .write {
            #expect(rules.check(Request(command, offset: offset, length: length)) == .noSpace)
        }
        for command in [.read, .trim, .cache] as [Command] {
            #expect(rules.check(Request(command, offset: offset, length: length)) == .invalid)
        }
    }

    @Test("a read-only export: EPERM for what changes it, the rest as ever")
    func readOnlyExport() {
        for command in [.write, .trim, .writeZeroes] as [Command] {
            #expect(readOnly.check(Request(command, offset: 0, length: 512)) == .notPermitted)
        }
        for command in [.read, .cache] as [Command] {
            #expect(readOnly.check(Request(command, offset: 0, length: 512)) == .none)
        }
        #expect(readOnly.check(Request(.flush)) == .none)
    }

    @Test(
        "zero bytes: EINVAL", arguments: [.read, .write, .trim, .writeZeroes, .cache] as [Command])
    func zeroLength(command: Command) {
        #expect(rules.check(Request(command, offset: 0, length: 0)) == .invalid)
        #expect(rules.check(Request(command, offset: Self.size, length: 0)) == .invalid)
    }

    @Test("a payload may have 32 MiB and not a byte more; what has none may be longer")
    func payload() {
        for command in [.read, .write] as [Command] {
            #expect(rules.check(Request(command, offset: 0, length: 32 << 20)) == .none)
            #expect(rules.check(Request(command, offset: 0, length: 32 << 20 + 1)) == .invalid)
        }
        for command in [.trim, .writeZeroes, .cache] as [Command] {
            #expect(rules.check(Request(command, offset: 0, length: Self.size)) == .none)
        }
        let large = RequestRules(exportSize: 1 << 40, isReadOnly: false)
        #expect(large.check(Request(.trim, offset: 4096, length: 0xffff_ffff)) == .none)
    }

    @Test("unknown commands: EINVAL", arguments: [7, 8, 9, 100, 0xffff] as [UInt16])
    func unknownCommand(number: UInt16) {
        let request = Request(Command(rawValue: number), offset: 0, length: 512)
        #expect(rules.check(request) == .invalid)
        #expect(readOnly.check(request) == .invalid)
    }

    @Test("FUA is valid on every command")
    func forceUnitAccess() {
        for command in [.read, .write, .trim, .writeZeroes, .cache] as [Command] {
            let request = Request(command, flags: .forceUnitAccess, offset: 0, length: 512)
            #expect(rules.check(request) == .none)
        }
        #expect(rules.check(Request(.flush, flags: .forceUnitAccess)) == .none)
    }

    @Test("NO_HOLE and FAST_ZERO are for WRITE_ZEROES only, and no other flag is for anything")
    func flags() {
        for bit in 1..<16 {
            let flags = CommandFlags(rawValue: 1 << UInt16(bit))
            for command in [.read, .write, .trim, .writeZeroes, .cache] as [Command] {
                let isKnown = command == .writeZeroes && (flags == .noHole || flags == .fastZero)
                let request = Request(command, flags: flags, offset: 0, length: 512)
                #expect(rules.check(request) == (isKnown ? .none : .invalid))
            }
            #expect(rules.check(Request(.flush, flags: flags)) == .invalid)
        }
    }

    @Test("FLUSH with an offset or a length: EINVAL")
    func flush() {
        #expect(rules.check(Request(.flush, offset: 512)) == .invalid)
        #expect(rules.check(Request(.flush, length: 512)) == .invalid)
    }
}
