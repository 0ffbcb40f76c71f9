import NBDProtocol

/// A request with its payload. The encoding is independent of NBDProtocol.
struct Order {
    var command: UInt16
    var flags: UInt16
    var cookie: UInt64
    var offset: UInt64
    var length: UInt64
    var payload: [UInt8]
    /// Whether the payload is complete.
    var isWhole = true

    /// Creates the next request of a script.
    init(_ script: inout Script, cookie: UInt64, format: HeaderFormat) {
        let choice = script.byte()
        command = choice < 0xf0 ? UInt16(choice % 9) : UInt16(script.number(upTo: 0xffff))
        let mask: UInt16 = format == .extended ? 0x3f : 0x1f
        let flagByte = script.byte()
        // Often without flags, since the server rejects most combinations at once.
        flags = flagByte & 0x80 == 0 ? 0 : UInt16(flagByte) & mask
        self.cookie = cookie
        offset = Self.position(&script)
        length = Self.position(&script)
        payload = []
        if command == 2, flagByte & 0x40 == 0 { command = 3 }
        if command == 3, flagByte & 0x20 == 0 {
            offset = 0
            length = 0
        }
        if format == .extended, command == 1 { flags |= 1 << 5 }
        let hasPayload = format == .extended ? flags & 1 << 5 != 0 : command == 1
        if format != .extended { length &= 0xffff_ffff }
        guard hasPayload else { return }
        if length <= 128 << 10 {
            let seed = script.byte()
            payload = (0..<Int(length)).map { UInt8(truncatingIfNeeded: $0 &* 7) ^ seed }
        } else {
            isWhole = false
        }
    }

    /// Returns an offset or a length: mostly inside the disk, often aligned, sometimes anything.
    private static func position(_ script: inout Script) -> UInt64 {
        let style = script.byte()
        switch style & 7 {
        case 0, 1: return UInt64(style >> 3) * 4096
        case 2, 3: return UInt64(style >> 3) * 4096 + UInt64(script.number(upTo: 4095))
        case 4: return UInt64(Link.diskSize) - UInt64(script.byte())
        case 5: return UInt64(script.byte())
        case 6: return UInt64(script.number(upTo: 0xffff))
        default: return script.wide() >> UInt64(style >> 3)
        }
    }

    func encoded(_ format: HeaderFormat) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt32(format == .extended ? 0x21e4_1c71 : 0x2560_9513))
        bytes.append(bigEndian: flags)
        bytes.append(bigEndian: command)
        bytes.append(bigEndian: cookie)
        bytes.append(bigEndian: offset)
        if format == .extended {
            bytes.append(bigEndian: length)
        } else {
            bytes.append(bigEndian: UInt32(truncatingIfNeeded: length))
        }
        return bytes + payload
    }
}
