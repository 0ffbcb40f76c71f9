internal import Glibc

/// A host, by name or by address.
package struct TLSHost: Sendable, Hashable {
    let text: String

    package init(_ text: String) { self.text = text }

    /// The bytes of an IPv4 or IPv6 address; nil for a name. inet_pton(3)
    var address: [UInt8]? {
        for (family, size) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: size)
            if unsafe inet_pton(family, text, &bytes) == 1 { return bytes }
        }
        return nil
    }

    /// Whether it is an address, or can be a host name (RFC 1123, section 2.1) with or without a wildcard.
    package var isValid: Bool {
        guard address == nil else { return true }
        let letters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*".utf8)
        return !text.isEmpty && text.utf8.count <= 253 && text.utf8.allSatisfy(letters.contains)
    }

    /// The names and addresses by which a machine reaches itself.
    static let local = ["localhost", "127.0.0.1", "::1"].map(TLSHost.init)
}
