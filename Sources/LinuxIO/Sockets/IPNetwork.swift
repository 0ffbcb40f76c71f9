/// The addresses that begin with the same bits, in the notation of RFC 4632 (CIDR).
public struct IPNetwork: Sendable, Hashable {
    /// The first of them.
    public let base: IPAddress
    /// Bits that they share, of 128: IPv4 addresses are counted as IPv6 maps them.
    let prefix: Int

    /// Why a text is no network.
    public enum ParseError: Error, Equatable {
        /// What stands before the slash is no address by number.
        case address
        /// What stands after the slash is no number of bits that such an address has.
        case prefix
        /// The address has bits beyond the prefix; what was meant is one of these two.
        case bitsBeyondPrefix(network: IPNetwork, address: IPNetwork)
    }

    /// `192.0.2.0/24`, `2001:db8::/32`, or one address alone.
    public init(_ text: String) throws(ParseError) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { throw .address }
        // A mapped address that is written as IPv6 has its prefix counted as IPv6.
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

    /// The network of an address whose first bits, of 128, are given.
    init(_ address: IPAddress, prefix: Int) {
        base = address.masked(to: prefix)
        self.prefix = prefix
    }

    /// Whether an address is one of these. No IPv4 address is in a network of IPv6, so that `::/0` is
    /// all of IPv6 and `0.0.0.0/0` all of IPv4.
    public func contains(_ address: IPAddress) -> Bool {
        address.masked(to: prefix) == base && (isIPv4 || !address.isIPv4)
    }

    /// Whether it is a network of IPv4.
    private var isIPv4: Bool { prefix >= 96 && base.isIPv4 }
}

extension IPNetwork: CustomStringConvertible {
    /// In its notation; a single address without the slash.
    public var description: String {
        prefix == 128 ? "\(base)" : "\(base)/\(isIPv4 ? prefix - 96 : prefix)"
    }
}
