@testable import ProgramSupport
import Testing

@testable import RamdiskNBD

@Suite("Figures") struct UnitsTests {
    @Test(
        "of bytes have three digits and a unit",
        arguments: [
            (0, "0 B"), (999, "999 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.50 KiB"),
            (1_048_575, "1.00 MiB"), (1_048_576, "1 MiB"), (104_858, "102 KiB"), (3e9, "2.79 GiB"),
        ] as [(Double, String)])
    func bytes(value: Double, text: String) {
        #expect(Units.bytes(value) == text)
    }

    @Test(
        "of times have three digits and a unit",
        arguments: [
            (0, "0 ns"), (850, "850 ns"), (999.6, "1.00 µs"), (12_345, "12.3 µs"),
            (3_000_000, "3 ms"), (1.5e9, "1.50 s"), (7.2e12, "7200 s"),
        ] as [(Double, String)])
    func times(value: Double, text: String) {
        #expect(Units.duration(nanoseconds: value) == text)
    }

    @Test(
        "of counts have three digits",
        arguments: [
            (0, "0"), (7.4, "7"), (999, "999"), (999.7, "1.00k"), (12_340, "12.3k"),
            (1_250_000, "1.25M"),
        ] as [(Double, String)])
    func counts(value: Double, text: String) {
        #expect(Units.count(value) == text)
    }

    @Test(
        "of ages have as many parts as they need",
        arguments: [
            (0, "0 s"), (42.9, "42 s"), (187, "3:07"), (18_187, "5:03:07"), (190_980, "2 d 5:03"),
        ] as [(Double, String)])
    func ages(value: Double, text: String) {
        #expect(Units.age(seconds: value) == text)
    }

    @Test("of other programs are shown, however large they are")
    func extremes() {
        let most = "9223372036854775807"
        #expect(Units.bytes(1e300) == most + " PiB")
        #expect(Units.duration(nanoseconds: 1e300) == most + " s")
        #expect(Units.duration(nanoseconds: -1e300) == "-9223372036854775808 ns")
        #expect(Units.fixed(1e300, decimals: 0) == most)
        #expect(Units.threeDigits(.nan) == "-")
        #expect(Units.age(seconds: 1e300) == "106751991167300 d 15:30")
    }

    @Test("that must be exact are short only if that loses nothing")
    func exact() {
        #expect(Units.exactBytes(0) == "0")
        #expect(Units.exactBytes(4096) == "4K")
        #expect(Units.exactBytes(4097) == "4097")
        #expect(Units.exactBytes(3 << 30) == "3G")
    }

    @Test(
        "of bytes in a table are rounded down to a tenth of a unit",
        arguments: [
            (0, "0"), (1023, "1023"), (1024, "1K"), (40 << 20, "40M"), (1536 << 20, "1.5G"),
            ((1 << 30) - 1, "1023.9M"), (.max, "16777215.9T"),
        ] as [(UInt64, String)])
    func roundedDown(bytes: UInt64, text: String) {
        #expect(Units.roundedDownBytes(bytes) == text)
    }

    @Test("as columns are scaled to the highest")
    func sparkline() {
        #expect(Bars.sparkline([], width: 3) == "   ")
        #expect(Bars.sparkline([0, 0], width: 3) == " ▁▁")
        #expect(Bars.sparkline([nil, 1, 50, 100, 0], width: 5) == " ▂▅█▁")
        #expect(Bars.sparkline([9, 1, 2], width: 2) == "▅█")
    }

    @Test("as bars are empty only for zero")
    func bar() {
        #expect(Bars.bar(0, width: 4) == "")
        #expect(Bars.bar(0.0001, width: 4) == "▏")
        #expect(Bars.bar(0.5, width: 4) == "██")
        #expect(Bars.bar(2, width: 4) == "████")
    }

    @Test("of a heat map are dark by their logarithm")
    func shades() {
        #expect(Bars.shade(0, of: 9) == "·")
        #expect(Bars.shade(1, of: 1_000_000) == "░")
        #expect(Bars.shade(1_000_000, of: 1_000_000) == "█")
    }

    @Test("in colour have the width of their text")
    func ink() {
        var line = StyledLine("ab", .red)
        line.add("cd")
        line.pad(to: 6)
        #expect(line.width == 6)
        #expect(line.text(coloured: false) == "abcd  ")
        #expect(line.text(coloured: true) == "\u{1B}[31mab\u{1B}[0mcd  ")
        #expect(line.text(coloured: true, limit: 1) == "\u{1B}[31ma\u{1B}[0m")
        #expect(line.text(coloured: false, limit: 3) == "abc")
    }

    @Test("have colours only on a terminal, unless the user turns them off")
    func colours() {
        #expect(wantsColour(isTerminal: true, environment: [:]))
        #expect(!wantsColour(isTerminal: false, environment: [:]))
        #expect(!wantsColour(isTerminal: true, environment: ["NO_COLOR": "1"]))
        #expect(!wantsColour(isTerminal: true, environment: ["TERM": "dumb"]))
    }
}
