internal import CLinux
internal import Glibc

/// An IPv4 or IPv6 address. An IPv4 address is stored as IPv6 maps it (`::ffff:192.0.2.1`), so that a client's
/// address is the same whichever kind of socket it connected to.
public struct IPAddress: Sendable, Hashable {
    /// The first and the last eight bytes, in network order.
    let high: UInt64
    let low: UInt64

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The address of four (IPv4) or sixteen bytes; nil for any other count.
    init?(bytes: some Collection<UInt8>) {
        func integer(_ bytes: some Sequence<UInt8>) -> UInt64 {
            bytes.reduce(0) { $0 << 8 | UInt64($1) }
        }
        switch bytes.count {
        case 4:
            high = 0
            low = Self.mappedMark << 32 | integer(bytes)
        case 16:
            high = integer(bytes.prefix(8))
            low = integer(bytes.dropFirst(8))
        default: return nil
        }
    }

    /// Parses the numeric notation, such as `192.0.2.1` or `2001:db8::1`. inet_pton(3)
    public init?(_ text: String) {
        // The C library would stop at a NUL.
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

    /// Whether this is an IPv4 address.
    public var isIPv4: Bool { high == 0 && low >> 32 == Self.mappedMark }

    /// Returns the address with all bits but the first `prefix` set to 0.
    func masked(to prefix: Int) -> IPAddress {
        // A shift by all bits or more gives 0, as it should.
        IPAddress(
            high: high & ~(UInt64.max >> UInt64(min(prefix, 64))),
            low: low & ~(UInt64.max >> UInt64(max(prefix - 64, 0))))
    }

    /// The two bytes before the four of a mapped IPv4 address.
    private static var mappedMark: UInt64 { 0xffff }
}

extension IPAddress: CustomStringConvertible {
    /// The numeric notation. inet_ntop(3)
    public var description: String {
        let all = [high, low].flatMap { half in
            (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) }
        }
        let bytes = isIPv4 ? Array(all.suffix(4)) : all
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        // Sound: the byte count is the family's, and the text has room for either notation.
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

/// All addresses with the same first bits, in the notation of RFC 4632 (CIDR).
public struct IPNetwork: Sendable, Hashable {
    /// The first address.
    public let base: IPAddress
    /// The number of common bits, from 0 to 128: IPv4 addresses are counted as IPv6 maps them.
    let prefix: Int

    /// The reason why a text is not a network.
    public enum ParseError: Error, Equatable {
        /// The part before the slash is not a numeric address.
        case address
        /// The part after the slash is not a number of bits that the address has.
        case prefix
        /// The address has bits beyond the prefix; the user meant one of these two.
        case bitsBeyondPrefix(network: IPNetwork, address: IPNetwork)
    }

    /// Parses `192.0.2.0/24`, `2001:db8::/32`, or a single address.
    public init(_ text: String) throws(ParseError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { throw .address }
        // The prefix of a mapped address that is written as IPv6 is counted as IPv6.
        let isWrittenAsIPv4 = !parts[0].contains(":")
        guard parts.count == 2 else {
            self.init(address, prefix: 128)
            return
        }
        let digits = parts[1]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let bits = Int(digits), bits <= (isWrittenAsIPv4 ? 32 : 128)
        else { throw .prefix }
        self.init(address, prefix: isWrittenAsIPv4 ? bits + 96 : bits)
        guard base == address else {
            throw .bitsBeyondPrefix(network: self, address: IPNetwork(address, prefix: 128))
        }
    }

    /// The network that an address is in, with the first `prefix` of 128 bits in common.
    init(_ address: IPAddress, prefix: Int) {
        base = address.masked(to: prefix)
        self.prefix = prefix
    }

    /// Whether an address is in the network. No IPv4 address is in an IPv6 network, so that `::/0` is all of
    /// IPv6 and `0.0.0.0/0` all of IPv4.
    public func contains(_ address: IPAddress) -> Bool {
        address.masked(to: prefix) == base && (isIPv4 || !address.isIPv4)
    }

    /// Whether this is an IPv4 network.
    private var isIPv4: Bool { prefix >= 96 && base.isIPv4 }
}

extension IPNetwork: CustomStringConvertible {
    /// The notation of RFC 4632; a single address without the slash.
    public var description: String {
        prefix == 128 ? "\(base)" : "\(base)/\(isIPv4 ? prefix - 96 : prefix)"
    }
}
