internal import Glibc

/// An IPv4 or IPv6 address. An IPv4 one is kept as IPv6 maps it (`::ffff:192.0.2.1`), so that a client
/// is the same whichever kind of socket it came through.
public struct IPAddress: Sendable, Hashable {
    /// The first and the last eight bytes, in network order.
    let high: UInt64
    let low: UInt64

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Sixteen bytes, or four of IPv4.
    init?(bytes: some Collection<UInt8>) {
        func number(_ bytes: some Sequence<UInt8>) -> UInt64 {
            bytes.reduce(0) { $0 << 8 | UInt64($1) }
        }
        switch bytes.count {
        case 4:
            high = 0
            low = Self.mappedMark << 32 | number(bytes)
        case 16:
            high = number(bytes.prefix(8))
            low = number(bytes.dropFirst(8))
        default: return nil
        }
    }

    /// As people write it, by number: `192.0.2.1`, `2001:db8::1`. inet_pton(3)
    public init?(_ text: String) {
        // The C library would not look past it.
        guard !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        if unsafe inet_pton(AF_INET, text, &bytes) == 1 {
            self.init(bytes: bytes.prefix(4))
        } else if unsafe inet_pton(AF_INET6, text, &bytes) == 1 {
            self.init(bytes: bytes)
        } else {
            return nil
        }
    }

    /// Whether it is an IPv4 address.
    public var isIPv4: Bool { high == 0 && low >> 32 == Self.mappedMark }

    /// Its first bits, the others being 0.
    func masked(to prefix: Int) -> IPAddress {
        // A shift by all bits or more gives 0, as it should.
        IPAddress(
            high: high & ~(UInt64.max >> UInt64(min(prefix, 64))),
            low: low & ~(UInt64.max >> UInt64(max(prefix - 64, 0))))
    }

    /// What stands before the four bytes of an IPv4 address that is mapped.
    private static var mappedMark: UInt64 { 0xffff }
}

extension IPAddress: CustomStringConvertible {
    /// As people write it. inet_ntop(3)
    public var description: String {
        let all = [high, low].flatMap { half in
            (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) }
        }
        let bytes = isIPv4 ? Array(all.suffix(4)) : all
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        // Sound: the bytes are as many as the family has, and the text is long enough for either.
        _ = unsafe inet_ntop(
            isIPv4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
    }
}

extension SocketAddress {
    /// The address without its port; nil for a Unix socket.
    public var ip: IPAddress? {
        switch family {
        case AF_INET where bytes.count >= 8: IPAddress(bytes: bytes[4..<8])
        case AF_INET6 where bytes.count >= 24: IPAddress(bytes: bytes[8..<24])
        default: nil
        }
    }
}
