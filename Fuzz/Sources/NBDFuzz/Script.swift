/// A source of decisions: the bytes of an input, followed by zeroes.
struct Script {
    private var rest: ArraySlice<UInt8>

    init(_ input: [UInt8]) { rest = input[...] }

    var isOver: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    mutating func number(upTo limit: Int) -> Int {
        (Int(byte()) << 8 | Int(byte())) % (limit + 1)
    }

    /// Returns the next `count` bytes; missing ones are zero.
    mutating func bytes(_ count: Int) -> [UInt8] {
        let taken = Array(rest.prefix(count))
        rest = rest.dropFirst(count)
        return taken + [UInt8](repeating: 0, count: count - taken.count)
    }

    /// Returns the next eight bytes as a big-endian number.
    mutating func wide() -> UInt64 { bytes(8).reduce(0) { $0 << 8 | UInt64($1) } }

    /// Returns the rest of the input.
    mutating func remainder() -> [UInt8] {
        defer { rest = [] }
        return Array(rest)
    }
}
