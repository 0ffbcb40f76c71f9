/// Times on the command line: a whole number with its unit, such as `500ms`, `10s` or `2m`.
extension Duration {
    /// The units, the largest first.
    private static let units: [(name: String, nanoseconds: UInt64)] = [
        ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000),
        ("us", 1_000), ("ns", 1),
    ]

    /// Parses a time. `0` needs no unit. Throws a sentence that says what is wrong.
    package init(parsing text: String) throws(ValueError) {
        let digits = text.prefix(while: \.isASCIIDigit)
        let name = text.dropFirst(digits.count).lowercased()
        guard !digits.isEmpty else { throw ValueError(Self.syntax) }
        guard !name.isEmpty || digits.allSatisfy({ $0 == "0" }) else {
            throw ValueError("Add a unit, such as \(digits)s, \(digits)ms or \(digits)us.")
        }
        let unit = name.isEmpty ? ("", 1) : Self.units.first { $0.name == name }
        guard let unit else { throw ValueError(Self.syntax) }
        let product = UInt64(digits).map { $0.multipliedReportingOverflow(by: unit.nanoseconds) }
        guard let product, !product.overflow, let nanoseconds = Int64(exactly: product.partialValue)
        else { throw ValueError("The longest time is \(Int64.max / 3_600_000_000_000)h.") }
        self = .nanoseconds(nanoseconds)
    }

    private static let syntax =
        "Give a whole number with a unit: us, ms, s, m or h, such as 500ms or 10s."

    /// The shortest spelling on the command line: `100ms`.
    package var argument: String {
        guard self != .zero else { return "0" }
        let nanoseconds = UInt64(self / .nanoseconds(1))
        for unit in Self.units where nanoseconds.isMultiple(of: unit.nanoseconds) {
            return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
        }
        return "\(nanoseconds)ns"
    }
}
