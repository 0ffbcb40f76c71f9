@testable import ServerHost
import Logging
import Testing

@Suite("Log lines")
struct LogFormatTests {
    private let metadata: Logger.Metadata = [
        "connection": "7", "export": "a", "peer": "user 0 (process 9)",
    ]

    @Test("for people have time, level, message and metadata")
    func text() {
        let line = LogFormat.text.line(
            "serving a client", level: .info, time: "NOW", metadata: metadata)
        #expect(
            line
                == "NOW info serving a client connection=7 export=\"a\" peer=\"user 0 (process 9)\"\n"
        )
    }

    @Test("for programs are JSON")
    func json() {
        let line = LogFormat.json.line(
            "it \"ends\"\n", level: .warning, time: "NOW", metadata: metadata)
        #expect(
            line == #"{"time":"NOW","level":"warning","message":"it \"ends\"\n","connection":"7","#
                + #""export":"a","peer":"user 0 (process 9)"}"# + "\n")
    }

    @Test(
        "for the journal begin with the priority",
        arguments: zip(
            [Logger.Level.debug, .info, .notice, .warning, .error, .critical], [7, 6, 5, 4, 3, 2]))
    func journal(level: Logger.Level, priority: Int) {
        let line = LogFormat.journal.line("so", level: level, time: "NOW", metadata: ["a": "1"])
        #expect(line == "<\(priority)>so a=1\n")
    }

    @Test("stay one line, whatever is in a name", arguments: LogFormat.allCases)
    func oneLine(format: LogFormat) {
        let line = format.line(
            "a\nb", level: .info, time: "NOW", metadata: ["export": "x\n2026 error y\r\u{1b}[31m"])
        #expect(line.utf8.count { $0 < 0x20 } == 1)
        #expect(line.hasSuffix("\n"))
    }
}
