import ProgramSupport
import Testing

@Suite("A time on the command line") struct DurationTests {
    @Test(
        "is a whole number with a unit",
        arguments: [
            ("7ns", .nanoseconds(7), "7ns"), ("500us", .microseconds(500), "500us"),
            ("5ms", .milliseconds(5), "5ms"), ("1000ms", .seconds(1), "1s"),
            ("90s", .seconds(90), "90s"), ("2m", .seconds(120), "2m"),
            ("24H", .seconds(86_400), "24h"), ("0", .zero, "0"), ("0s", .zero, "0"),
        ] as [(String, Duration, String)])
    func parsed(text: String, duration: Duration, spelling: String) throws {
        let parsed = try Duration(parsing: text)
        #expect(parsed == duration)
        #expect(parsed.argument == spelling)
    }

    @Test(
        "is rejected otherwise",
        arguments: [
            "", "s", "1.5s", "-1s", "+1s", "1d", "s1", "1 s", "1sec", "99999999999999s",
            "99999999999999999999999ns",
        ])
    func wrong(text: String) {
        #expect(throws: (any Error).self) { try Duration(parsing: text) }
    }

    @Test("without a unit is rejected with the advice to add one")
    func noUnit() {
        #expect {
            try Duration(parsing: "10")
        } throws: { error in
            "\(error)".contains("Add a unit, such as 10s")
        }
    }
}
