@testable import NBDProtocol

/// Returns the bytes of hexadecimal text, which may contain spaces.
func bytes(_ hexadecimal: String...) -> [UInt8] {
    let digits = hexadecimal.joined().filter { $0 != " " }
    var result: [UInt8] = []
    var index = digits.startIndex
    while index < digits.endIndex {
        let next = digits.index(index, offsetBy: 2)
        result.append(UInt8(digits[index..<next], radix: 16)!)
        index = next
    }
    return result
}

/// Returns the UTF-8 bytes of a text.
func text(_ string: String) -> [UInt8] { Array(string.utf8) }

extension Request {
    init?(_ bytes: [UInt8]) {
        // Sound: bytes have no padding.
        self.init(decoding: unsafe bytes.span.bytes)
    }

    var encoded: [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: Self.encodedSize)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        encode(into: &raw)
        return bytes
    }
}

extension SimpleReply {
    init?(_ bytes: [UInt8]) {
        self.init(decoding: unsafe bytes.span.bytes)
    }

    var encoded: [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: Self.encodedSize)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        encode(into: &raw)
        return bytes
    }
}

/// Returns the session of a handshake.
func agreed(
    _ export: Int, _ format: HeaderFormat = .simple, contexts: ContextSet = []
) -> ServerNegotiation.NegotiatedSession {
    ServerNegotiation.NegotiatedSession(export: export, format: format, contexts: contexts)
}
