/// A number of bytes: `4096`, `40M`, `40MiB`, `1.5G`, `40MB`.
package struct ByteCount: Sendable, Equatable {
    package var bytes: UInt64

    /// Bytes in a sector. A number with a fraction must be a multiple of it.
    private static let sectorSize: UInt64 = 512
    /// The largest number of digits after the point; with more, the product with a unit would overflow.
    private static let fractionLimit = 6

    package init(_ bytes: UInt64) { self.bytes = bytes }

    /// Throws a sentence that says why the text is not a number of bytes.
    package init(parsing text: String) throws(ValueError) {
        let number = text.prefix { $0.isASCIIDigit || $0 == "." }
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        guard let unit = Self.unit(text.dropFirst(number.count).lowercased()),
            parts.count <= 2, parts.allSatisfy({ !$0.isEmpty })
        else {
            throw ValueError(
                "Give a number of bytes, or one with K, M, G or T (powers of 1024, as are KiB, MiB, GiB "
                    + "and TiB) or with KB, MB, GB or TB (powers of 1000), such as 40M or 1.5G.")
        }
        let whole = UInt64(parts[0]).map { $0.multipliedReportingOverflow(by: unit) }
        guard let whole, !whole.overflow else {
            throw ValueError("The maximum is 15.9 EiB (\(UInt64.max) bytes).")
        }
        bytes = whole.partialValue
        guard parts.count == 2 else { return }
        let rest = Self.fraction(parts[1], of: unit).map { bytes.addingReportingOverflow($0) }
        guard let rest, !rest.overflow, rest.partialValue % Self.sectorSize == 0 else {
            throw ValueError(
                "That is not a whole number of sectors of \(Self.sectorSize) bytes: choose another "
                    + "fraction, or a smaller unit.")
        }
        bytes = rest.partialValue
    }

    /// Returns the bytes in a unit, given its name in lower case.
    private static func unit(_ name: String) -> UInt64? {
        if name.isEmpty { return 1 }
        guard let step = ["k", "m", "g", "t"].firstIndex(of: name.prefix(1)) else { return nil }
        let base: UInt64
        switch name.dropFirst() {
        case "", "ib": base = 1024
        case "b": base = 1000
        default: return nil
        }
        return (0...step).reduce(1) { product, _ in product * base }
    }

    /// Returns the bytes in a part of a unit, given the digits after the point; nil when they are not whole.
    private static func fraction(_ digits: Substring, of unit: UInt64) -> UInt64? {
        guard digits.count <= fractionLimit, let number = UInt64(digits) else { return nil }
        let parts = (0..<digits.count).reduce(UInt64(1)) { product, _ in product * 10 }
        let (bytes, rest) = (number * unit).quotientAndRemainder(dividingBy: parts)
        return rest == 0 ? bytes : nil
    }
}
