@testable import NBDProtocol

/// Bytes written as hexadecimal, with spaces where one likes.
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

/// Text as bytes.
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

/// What a handshake leads to that agrees on no more than an export, or on more.
func agreed(
    _ export: Int, _ format: HeaderFormat = .simple, hasContext: Bool = false
) -> ServerNegotiation.NegotiatedSession {
    ServerNegotiation.NegotiatedSession(export: export, format: format, hasContext: hasContext)
}
