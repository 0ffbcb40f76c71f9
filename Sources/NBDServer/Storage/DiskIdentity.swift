/// The identity of a disk's memory: 128 random bits that are made with the memory and last as long.
///
/// A name can refer to different memory in another container, in another directory or at another
/// time. An identity is never reused, so a server that finds an identity again has found the same
/// memory.
public struct DiskIdentity: Sendable, Hashable, CustomStringConvertible {
    /// The upper and the lower 64 bits.
    public let high: UInt64, low: UInt64

    /// An identity of these bits.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Returns a new identity.
    public static func random() -> DiskIdentity {
        DiskIdentity(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    }

    /// The bits as 32 hexadecimal digits.
    public var description: String { [high, low].map(Self.digits).joined() }

    private static func digits(_ word: UInt64) -> String {
        let text = String(word, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}
