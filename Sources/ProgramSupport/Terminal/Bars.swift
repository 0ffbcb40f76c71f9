/// Small charts made of characters.
package enum Bars {
    private static let columns: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
    private static let eighths: [Character] = ["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"]
    private static let shades: [Character] = ["·", "░", "▒", "▓", "█"]

    /// Returns the last `width` values as columns, scaled to the highest of them. Nil and missing values are
    /// spaces.
    package static func sparkline(_ values: [Double?], width: Int) -> String {
        let shown = values.suffix(width)
        let highest = shown.reduce(0) { max($0, $1 ?? 0) }
        let drawn = shown.map { value -> Character in
            guard let value else { return " " }
            guard highest > 0, value > 0 else { return columns[0] }
            // The lowest column means zero.
            return columns[1 + Int((value / highest * 6).rounded())]
        }
        return String(repeating: " ", count: width - shown.count) + String(drawn)
    }

    /// Returns a bar for a part of a whole, 0 to 1, of up to `width` characters and in eighths of a character. It
    /// is empty only for 0.
    package static func bar(_ part: Double, width: Int) -> String {
        guard part > 0 else { return "" }
        let steps = max(1, Int((min(part, 1) * Double(width * 8)).rounded()))
        let rest = steps % 8
        return String(repeating: "█", count: steps / 8)
            + (rest > 0 ? String(eighths[rest - 1]) : "")
    }

    /// Returns the shade of a cell of a heat map: a dot for 0, then darker with the logarithm of the count, so
    /// that one very high count does not hide all others.
    package static func shade(_ count: UInt64, of highest: UInt64) -> Character {
        guard count > 0, highest > 0 else { return shades[0] }
        let bits = { (value: UInt64) in Double(64 - value.leadingZeroBitCount) }
        let step = (bits(count) / bits(highest) * 4).rounded(.up)
        return shades[min(4, max(1, Int(step)))]
    }
}
