/// A cursor over the bytes of one message.
///
/// It never reads past the end: each method returns nil if fewer bytes are left than it needs. A
/// message with a false length therefore decodes to nil, and to nothing worse.
package struct ByteReader: Sendable {
    private var rest: ArraySlice<UInt8>

    /// Creates a reader at the first byte of a message.
    package init(_ bytes: [UInt8]) {
        rest = bytes[...]
    }

    /// The number of unread bytes.
    package var remaining: Int { rest.count }

    /// Returns the next big-endian number.
    package mutating func number<Number: FixedWidthInteger>(
        as type: Number.Type = Number.self
    ) -> Number? {
        let width = Number.bitWidth / 8
        guard rest.count >= width else { return nil }
        var value: Number = 0
        for byte in rest.prefix(width) { value = value << 8 | Number(truncatingIfNeeded: byte) }
        rest = rest.dropFirst(width)
        return value
    }

    /// Returns the next `count` bytes.
    package mutating func bytes(_ count: Int) -> [UInt8]? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    /// Returns the next `count` bytes as a string of the protocol: at most 4096 bytes of UTF-8
    /// without NUL (NBD specification, Conventions).
    package mutating func string(_ count: Int) -> String? {
        guard count <= Limits.stringLength, let bytes = bytes(count), !bytes.contains(0) else {
            return nil
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
