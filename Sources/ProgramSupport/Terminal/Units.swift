/// The spelling of quantities for people.
package enum Units {
    /// Returns a value with three significant digits: `0`, `7.25`, `72.5`, `725`.
    package static func threeDigits(_ value: Double) -> String {
        guard value.isFinite else { return "-" }
        let rounded = value.rounded()
        if value == rounded, rounded < 1000 { return "\(whole(rounded))" }
        // The limits are where rounding would add a digit.
        let decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0
        return fixed(value, decimals: decimals)
    }

    /// Returns a number with `decimals` digits after the point.
    package static func fixed(_ value: Double, decimals: Int) -> String {
        var scale = 1
        for _ in 0..<decimals { scale *= 10 }
        let scaled = whole((abs(value) * Double(scale)).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard decimals > 0 else { return "\(sign)\(scaled)" }
        let fraction = String(scaled % scale)
        let zeroes = String(repeating: "0", count: decimals - fraction.count)
        return "\(sign)\(scaled / scale).\(zeroes)\(fraction)"
    }

    /// Returns bytes in binary units, such as `4 KiB` or `1.25 GiB`, or in decimal ones, such as `4.10 kB`.
    package static func bytes(_ value: Double, decimal: Bool = false) -> String {
        let base = decimal ? 1000.0 : 1024.0
        let names =
            decimal
            ? ["B", "kB", "MB", "GB", "TB", "PB"] : ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        let (scaled, name) = scale(value, base: base, names: names)
        return "\(threeDigits(scaled)) \(name)"
    }

    /// Returns a count: `7`, `12.5k`, `1.25M`.
    package static func count(_ value: Double) -> String {
        let (scaled, name) = scale(value, base: 1000, names: ["", "k", "M", "G", "T"])
        return threeDigits(name.isEmpty ? scaled.rounded() : scaled) + name
    }

    /// Returns a time: `850 ns`, `12.5 µs`, `3 ms`, `1.25 s`.
    package static func duration(nanoseconds: Double) -> String {
        let (scaled, name) = scale(nanoseconds, base: 1000, names: ["ns", "µs", "ms", "s"])
        return "\(threeDigits(scaled)) \(name)"
    }

    /// Powers of 1024 as bits to shift, the largest first, and their letters.
    private static let binaryUnits: [(shift: UInt64, letter: String)] = [
        (40, "T"), (30, "G"), (20, "M"), (10, "K"),
    ]

    /// Returns bytes without rounding: `4096` is `4K`, `4097` is `4097`.
    package static func exactBytes(_ value: UInt64) -> String {
        for (shift, letter) in binaryUnits where value > 0 && value % (1 << shift) == 0 {
            return "\(value >> shift)\(letter)"
        }
        return "\(value)"
    }

    /// Returns bytes with a unit, rounded down to a tenth of it: `40M`, `1.5G`.
    package static func roundedDownBytes(_ value: UInt64) -> String {
        for (shift, letter) in binaryUnits where value >= 1 << shift {
            let tenths = ((value >> (shift - 10)) * 10) >> 10
            return tenths % 10 == 0
                ? "\(tenths / 10)\(letter)" : "\(tenths / 10).\(tenths % 10)\(letter)"
        }
        return "\(value)"
    }

    /// Returns an age: `42 s`, `3:07`, `5:03:07`, `2 d 5:03`.
    package static func age(seconds: Double) -> String {
        let total = whole(max(0, seconds))
        let (days, hours) = (total / 86400, total / 3600 % 24)
        let (minutes, left) = (twoDigits(total / 60 % 60), twoDigits(total % 60))
        if days > 0 { return "\(days) d \(hours):\(minutes)" }
        if hours > 0 { return "\(hours):\(minutes):\(left)" }
        return total < 60 ? "\(total) s" : "\(total / 60):\(left)"
    }

    /// Returns a number without its fraction, or the closest one there is: numbers come from other programs.
    private static func whole(_ value: Double) -> Int {
        guard !value.isNaN else { return 0 }
        return Int(exactly: value.rounded(.towardZero)) ?? (value < 0 ? .min : .max)
    }

    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

    private static func scale(
        _ value: Double, base: Double, names: [String]
    ) -> (value: Double, name: String) {
        var value = value
        var step = 0
        // A value that would round up to the base belongs to the next unit.
        while value >= base - 0.5, step < names.count - 1 {
            value /= base
            step += 1
        }
        return (value, names[step])
    }
}

extension String {
    /// The text without spaces at its end.
    package var withoutTrailingSpaces: String {
        var rest = self[...]
        while rest.last == " " { rest.removeLast() }
        return String(rest)
    }

    /// Returns the text aligned to the right in this width.
    package func right(_ width: Int) -> String {
        String(repeating: " ", count: max(0, width - count)) + self
    }
    /// Returns the text aligned to the left in this width. A longer text is cut, with a mark.
    package func left(_ width: Int) -> String {
        count > width
            ? prefix(max(0, width - 1)) + "…" : self + String(repeating: " ", count: width - count)
    }
}
