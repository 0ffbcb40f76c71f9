internal import ArgumentParser
internal import ProgramSupport

/// Times on the command line: a whole number with its unit, such as `500ms`, `10s` or `2m`.
extension Duration {
    /// The units, the largest first.
    private static let units: [(name: String, nanoseconds: UInt64)] = [
        ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000),
        ("us", 1_000), ("ns", 1),
    ]

    /// Parses a time. `0` needs no unit. Throws a sentence that says what is wrong.
    init(parsing text: String) throws {
        let digits = text.prefix(while: \.isASCIIDigit)
        let name = text.dropFirst(digits.count).lowercased()
        guard !digits.isEmpty else { throw ValidationError(Self.syntax) }
        guard !name.isEmpty || digits.allSatisfy({ $0 == "0" }) else {
            throw ValidationError("Add a unit, such as \(digits)s, \(digits)ms or \(digits)us.")
        }
        let unit = name.isEmpty ? ("", 1) : Self.units.first { $0.name == name }
        guard let unit else { throw ValidationError(Self.syntax) }
        let product = UInt64(digits).map { $0.multipliedReportingOverflow(by: unit.nanoseconds) }
        guard let product, !product.overflow, let nanoseconds = Int64(exactly: product.partialValue)
        else { throw ValidationError("The longest time is \(Int64.max / 3_600_000_000_000)h.") }
        self = .nanoseconds(nanoseconds)
    }

    private static let syntax =
        "Give a whole number with a unit: us, ms, s, m or h, such as 500ms or 10s."

    /// The shortest spelling on the command line: `100ms`.
    var argument: String {
        guard self != .zero else { return "0" }
        let nanoseconds = UInt64(self / .nanoseconds(1))
        for unit in Self.units where nanoseconds.isMultiple(of: unit.nanoseconds) {
            return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
        }
        return "\(nanoseconds)ns"
    }

    /// The time in whole units, rounded down.
    var wholeMilliseconds: Int { Int(self / .milliseconds(1)) }

    /// Throws unless the time of an option is in a range.
    func check(_ option: String, from shortest: Duration, to longest: Duration) throws {
        guard (shortest...longest).contains(self) else {
            throw ValidationError(
                "\(option) is \(argument), but must be from \(shortest.argument) to "
                    + "\(longest.argument).")
        }
    }

    /// Throws unless the time is a usable interval between two samples.
    func checkInterval() throws {
        try check("--interval", from: .milliseconds(100), to: .seconds(86_400))
    }
}
