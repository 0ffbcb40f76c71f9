internal import NBDProtocol

/// A request.
struct Request {
    var command: UInt16
    var flags: UInt16 = 0
    var cookie: UInt64 = 0
    var offset: UInt64 = 0
    /// The value of the length field.
    var length: UInt64 = 0
    /// The bytes after the header.
    var payload: [UInt8] = []

    static func read(_ offset: UInt64, _ length: UInt64, flags: UInt16 = 0) -> Request {
        Request(command: Command.read, flags: flags, offset: offset, length: length)
    }

    static func write(_ offset: UInt64, _ payload: [UInt8], flags: UInt16 = 0) -> Request {
        Request(
            command: Command.write, flags: flags, offset: offset, length: UInt64(payload.count),
            payload: payload)
    }

    static func trim(_ offset: UInt64, _ length: UInt64, flags: UInt16 = 0) -> Request {
        Request(command: Command.trim, flags: flags, offset: offset, length: length)
    }

    static func writeZeroes(_ offset: UInt64, _ length: UInt64, flags: UInt16 = 0) -> Request {
        Request(command: Command.writeZeroes, flags: flags, offset: offset, length: length)
    }

    static func cache(_ offset: UInt64, _ length: UInt64, flags: UInt16 = 0) -> Request {
        Request(command: Command.cache, flags: flags, offset: offset, length: length)
    }

    static func flush(flags: UInt16 = 0) -> Request {
        Request(command: Command.flush, flags: flags)
    }

    static func blockStatus(_ offset: UInt64, _ length: UInt64, flags: UInt16 = 0) -> Request {
        Request(command: Command.blockStatus, flags: flags, offset: offset, length: length)
    }

    /// Returns the message. Extended headers announce a payload if there is one.
    func encoded(_ mode: Mode) -> [UInt8] {
        let isExtended = mode == .extended
        return Conformance.encoded {
            $0.append(bigEndian: isExtended ? Magic.extendedRequest : Magic.request)
            let announced = isExtended && !payload.isEmpty ? CommandFlag.payloadLength : 0
            $0.append(bigEndian: flags | announced)
            $0.append(bigEndian: command)
            $0.append(bigEndian: cookie)
            $0.append(bigEndian: offset)
            if isExtended {
                $0.append(bigEndian: length)
            } else {
                $0.append(bigEndian: UInt32(truncatingIfNeeded: length))
            }
            $0 += payload
        }
    }
}

/// Returns pseudo-random bytes without zeroes.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 56) | 1
    }
}
