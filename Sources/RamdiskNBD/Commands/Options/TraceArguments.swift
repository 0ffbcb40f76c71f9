// Values of the options of `ramdisk-nbd trace`.

internal import ProgramSupport
internal import Observability
internal import ObservabilityClient
internal import ArgumentParser

extension CommandName: ExpressibleByArgument {
    /// With a hyphen or an underscore: `write-zeroes`, as in the protocol table, is what people type.
    init?(argument: String) {
        let name = argument.lowercased().map { $0 == "-" ? "_" : $0 }
        self.init(rawValue: String(name))
    }
}

/// A time with its unit: `100us`, `5ms`, `1s`.
struct TimeSpan: ExpressibleByArgument, Equatable {
    var nanoseconds: UInt64

    /// In whole milliseconds.
    var milliseconds: Int { Int(nanoseconds / 1_000_000) }

    init(seconds: UInt64) { nanoseconds = seconds * 1_000_000_000 }

    init?(argument: String) {
        let units: [(String, UInt64)] = [
            ("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ]
        // Every one of them ends in "s": the one that is just that comes last.
        guard let (name, factor) = units.first(where: { argument.hasSuffix($0.0) }) else {
            return nil
        }
        let digits = argument.dropLast(name.count)
        guard let number = UInt64(digits), digits.first != "+" else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow else { return nil }
        nanoseconds = product
    }

    /// Throws when it is no time between two looks.
    func checkInterval() throws {
        guard (100_000_000...86_400_000_000_000).contains(nanoseconds) else {
            throw ValidationError(
                "--interval is \(defaultValueDescription), but has to be from 100ms to a day.")
        }
    }

    /// The shortest way to write it: `100ms`.
    var defaultValueDescription: String {
        for (unit, factor) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)]
            as [(String, UInt64)]
        where nanoseconds % factor == 0 {
            return "\(nanoseconds / factor)\(unit)"
        }
        return "\(nanoseconds)ns"
    }
}

extension ByteRange: ExpressibleByArgument {
    package init?(argument: String) {
        let parts = argument.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let first = ByteCount(argument: String(parts[0])) else {
            return nil
        }
        self.init(first: first.bytes, last: nil)
        guard !parts[1].isEmpty else { return }
        guard let last = ByteCount(argument: String(parts[1])), last.bytes >= first.bytes else {
            return nil
        }
        self.last = last.bytes
    }
}

extension TraceFileFormat: ExpressibleByArgument {}
