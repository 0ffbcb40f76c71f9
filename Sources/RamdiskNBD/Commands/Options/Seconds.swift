internal import ArgumentParser

/// A number of seconds, down to a thousandth: `10`, `0.5`.
package struct Seconds: ExpressibleByArgument, Equatable, CustomStringConvertible {
    var milliseconds: Int

    init(_ seconds: Int) { milliseconds = seconds * 1_000 }

    init?(argument: String) {
        let parts = argument.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard
            parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let whole = Int(parts[0]), whole <= Int.max / 2_000
        else { return nil }
        milliseconds = whole * 1_000
        guard parts.count == 2 else { return }
        guard parts[1].utf8.count <= 3,
            let rest = Int(parts[1] + "00".dropFirst(parts[1].count - 1))
        else { return nil }
        milliseconds += rest
    }

    package var description: String {
        milliseconds.isMultiple(of: 1_000)
            ? "\(milliseconds / 1_000)" : "\(Double(milliseconds) / 1_000)"
    }

    var defaultValueDescription: String { description }
}
