internal import ArgumentParser
internal import ProgramSupport

/// Throws a sentence unless a condition of the options holds.
func require(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
    guard condition else { throw ValidationError(sentence()) }
}

/// Throws if both of two options are given, with the reason why that makes no sense.
func exclude(
    _ first: String, _ isFirst: Bool, _ second: String, _ isSecond: Bool, _ reason: String = ""
) throws {
    try require(
        !isFirst || !isSecond,
        "\(first) and \(second): give only one of them.\(reason.isEmpty ? "" : " \(reason)")")
}

/// Throws unless the value of an option is in a range; nil is.
func check(_ option: String, _ value: Int?, in range: ClosedRange<Int>) throws {
    try check(option, value, in: range) { "\($0)" }
}

/// Throws unless the time of an option is in a range; nil is.
func check(_ option: String, _ value: Duration?, in range: ClosedRange<Duration>) throws {
    try check(option, value, in: range, \.argument)
}

private func check<Value: Comparable>(
    _ option: String, _ value: Value?, in range: ClosedRange<Value>, _ text: (Value) -> String
) throws {
    guard let value, !range.contains(value) else { return }
    throw ValidationError(
        "\(option) is \(text(value)), but must be from \(text(range.lowerBound)) to "
            + "\(text(range.upperBound)).")
}

/// Throws unless the time is a usable interval between two samples.
func checkInterval(_ interval: Duration) throws {
    try check("--interval", interval, in: .milliseconds(100) ... .seconds(86_400))
}
