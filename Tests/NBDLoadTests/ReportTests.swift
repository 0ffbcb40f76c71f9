import ProgramSupport
import Testing

@testable import NBDLoad

@Suite("Options and reports")
struct ReportTests {
    @Test(
        "sizes", arguments: [("0", 0), ("4096", 4096), ("4K", 4096), ("4k", 4096), ("1M", 1 << 20)])
    func size(text: String, bytes: Int) {
        #expect(ByteCount(argument: text)?.count == bytes)
    }

    @Test("invalid sizes", arguments: ["", "K", "-1", "9999999999999T"])
    func noSize(text: String) {
        #expect(ByteCount(argument: text) == nil)
    }

    @Test(
        "lists of processors", arguments: [("0", [0]), ("0,2", [0, 2]), ("1-3,7", [1, 2, 3, 7])])
    func processors(text: String, numbers: [Int]) {
        #expect(ProcessorList(argument: text)?.numbers == numbers)
    }

    @Test(
        "invalid lists of processors",
        arguments: ["", ",", "1-", "-1", "3-1", "a", "1-2-3", "4096"])
    func noProcessors(text: String) {
        #expect(ProcessorList(argument: text) == nil)
    }

    static let report = Report(lines: [
        ReportLine(key: "name", title: "name", value: .text("a \"b\" \\ \n")),
        ReportLine(key: "count", title: "how many", value: .count(1_234_567), unit: "/s"),
        ReportLine(key: "time", title: "time", value: .number(12345.678, decimals: 1), unit: "us"),
        ReportLine(key: "small", title: "small", value: .number(0.04, decimals: 3)),
    ])

    @Test("JSON is one object on one line")
    func json() {
        #expect(
            Self.report.json
                == #"{"count":1234567,"name":"a \"b\" \\ \n","small":0.04,"time":12345.7}"#
        )
    }

    @Test("the table has titles on the left and values on the right")
    func text() {
        let lines = Self.report.text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.contains("how many  1,234,567 /s"))
        #expect(lines.contains("time       12,345.7 us"))
        #expect(lines.contains("small         0.040"))
    }

    @Test(
        "Jain's index is 1 for equal connections, and 1/n when one has everything",
        arguments: [([5, 5, 5], 1), ([7, 0, 0, 0], 0.25), ([1, 3], 0.8)] as [([Double], Double)])
    func fairness(rates: [Double], index: Double) {
        var total = LoadFigures()
        for rate in rates {
            var connection = LoadFigures()
            connection.requests = Int(rate)
            connection.endMeasuring(nanoseconds: 1_000_000_000)
            total.add(connection)
        }
        #expect(total.fairness == index)
    }

    @Test("connections without a request have no fairness")
    func noFairness() {
        #expect(LoadFigures().fairness == nil)
    }

    @Test("random numbers stay below their bound, and reach every value")
    func random() {
        var numbers = RandomNumbers(seed: 1)
        var seen = Set<Int>()
        for _ in 0..<10_000 { seen.insert(numbers.below(100)) }
        #expect(seen == Set(0..<100))
    }

    @Test("a stream's order is decoded as it was encoded; invalid orders are rejected")
    func order() {
        let orders = [
            StreamOrder(.write, chunk: 4096), StreamOrder(oneAtATime: .read, blockSize: 4096),
        ]
        for order in orders {
            #expect(StreamOrder(decoding: order.encoded)?.encoded == order.encoded)
        }
        #expect(StreamOrder(oneAtATime: .read, blockSize: 4096).reply == 4112)
        #expect(StreamOrder(oneAtATime: .write, blockSize: 4096).request == 4124)
        #expect(StreamOrder(decoding: [UInt8](repeating: 0, count: 16)) == nil)
        #expect(StreamOrder(decoding: [UInt8](repeating: 0xff, count: 16)) == nil)
        #expect(StreamOrder(decoding: [0, 0, 0, 0]) == nil)
    }
}
