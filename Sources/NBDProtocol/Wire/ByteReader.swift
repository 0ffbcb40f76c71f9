/// A cursor over the bytes of one message.
///
/// Nothing is read past the end: each method answers nil when fewer bytes are left than it needs,
/// so a length that lies cannot lead anywhere.
public struct ByteReader: Sendable {
    private var rest: ArraySlice<UInt8>

    /// A reader at the first byte of a message.
    public init(_ bytes: [UInt8]) {
        rest = bytes[...]
    }

    /// Bytes not read yet.
    public var remaining: Int { rest.count }

    /// The next big-endian number.
    public mutating func number<Number: FixedWidthInteger>(
        as type: Number.Type = Number.self
    ) -> Number? {
        let width = Number.bitWidth / 8
        guard rest.count >= width else { return nil }
        var value: Number = 0
        for byte in rest.prefix(width) { value = value << 8 | Number(truncatingIfNeeded: byte) }
        rest = rest.dropFirst(width)
        return value
    }

    /// The next `count` bytes.
    public mutating func bytes(_ count: Int) -> [UInt8]? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    /// The next `count` bytes as a string of the protocol: at most 4096 bytes of UTF-8 without NUL
    /// (specification: "Conventions").
    public mutating func string(_ count: Int) -> String? {
        guard count <= Limits.stringLength, let bytes = bytes(count), !bytes.contains(0) else {
            return nil
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
