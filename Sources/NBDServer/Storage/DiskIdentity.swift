/// Which memory a disk is: 128 random bits that are made with the memory and last as long as it does.
///
/// Names of memory can mean different things: in another container, in another directory, at another time. An
/// identity is never reused, so a server that finds the same identity has found the same memory.
public struct DiskIdentity: Sendable, Hashable, CustomStringConvertible {
    /// Its bits.
    public let high: UInt64, low: UInt64

    /// The identity of these bits.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A new one.
    public static func random() -> DiskIdentity {
        DiskIdentity(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    }

    /// 32 hexadecimal digits.
    public var description: String { [high, low].map(Self.digits).joined() }

    private static func digits(_ word: UInt64) -> String {
        let text = String(word, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}
