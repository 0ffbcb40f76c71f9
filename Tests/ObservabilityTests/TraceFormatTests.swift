@testable import ObservabilityClient
@testable import Observability
import FoundationEssentials
import Testing

@Suite("A trace") struct TraceFormatTests {
    @Test("has a line for each request")
    func lines() {
        var format = TraceText()
        let text = format.all([
            .some(), .some(.write, offset: 1, length: 513, flags: ["fua", "df"], error: "EINVAL"),
            .some(.flush, offset: 0, length: 0, export: "vm", duration: 3_200_000),
        ])
        #expect(
            text == """
                         TIME  CONN  COMMAND             OFFSET   LENGTH   DURATION  FLAGS, ERROR, [DISK]
                     1.234568    #3  read                  8192       4K    12.3 µs
                     1.234568    #3  write                    1      513    12.3 µs  fua,df  EINVAL
                     1.234568    #3  flush                                  3.20 ms  [vm]

                """)
    }

    @Test(
        "is written and summed up with any numbers that a server sends", arguments: [0, UInt64.max])
    func extremes(number: UInt64) {
        let event = TraceEvent.some(
            at: number, offset: number, length: number, connection: number, duration: number)
        var formats: [any TraceFormat] = [TraceText(), ChromeTrace(), FioLog(hasTimes: true)]
        for index in formats.indices {
            #expect(formats[index].all([event, event]).contains("read"))
        }
        var summary = TraceSummary(disks: [("", number)])
        for _ in 0..<2 {
            summary.add(event)
            summary.addDropped(number)
        }
        #expect(summary.requests == 2)
        #expect(!SummaryText(summary: summary, width: 80).lines.isEmpty)
    }

    @Test("is fio's log, with or without times")
    func fio() {
        let events: [TraceEvent] = [
            .some(at: 5_000), .some(.write, at: 9_999, export: "a b"),
            .some(.flush, at: 8_000, offset: 7, length: 9), .some(.trim, at: 12_000),
            .some(.writeZeroes, at: 13_000), .some(.blockStatus, at: 14_000),
            .some(.read, at: 15_000, error: "EIO"),
        ]
        var new = FioLog(hasTimes: true)
        #expect(
            new.all(events) == """
                fio version 3 iolog
                5 ramdisk add
                5 ramdisk open
                5 ramdisk read 8192 4096
                9 a_b add
                9 a_b open
                9 a_b write 8192 4096
                9 ramdisk sync 0 0
                12 ramdisk trim 8192 4096
                13 ramdisk trim 8192 4096
                13 ramdisk close
                13 a_b close

                """)
        #expect(new.omitted == 2)
        var old = FioLog(hasTimes: false)
        #expect(
            old.all([.some()]) == """
                fio version 2 iolog
                ramdisk add
                ramdisk open
                ramdisk read 8192 4096
                ramdisk close

                """)
    }

    /// The members of an event that Perfetto reads.
    private struct ChromeEvent: Decodable {
        struct Arguments: Decodable {
            var offset: UInt64?
            var length: UInt64?
            var error: String?
            var flags: [String]?
            var name: String?
        }
        var ph: String
        var name: String
        var pid: Int
        var tid: UInt64?
        var ts: Double?
        var dur: Double?
        var args: Arguments?
    }

    private func chrome(_ events: [TraceEvent]) throws -> [ChromeEvent] {
        var format = ChromeTrace()
        return try JSONDecoder().decode([ChromeEvent].self, from: Data(format.all(events).utf8))
    }

    @Test("is Chrome's events, with everything about a request")
    func chromeEvents() throws {
        let events = try chrome([
            .some(.write, at: 1_500, export: "a\"\\\n", duration: 2_007, flags: ["fua"]),
            .some(.read, at: 9_000, error: "EINVAL"),
        ])
        let slices = events.filter { $0.ph == "X" }
        let first = try #require(slices.first)
        #expect(slices.count == 2)
        #expect(first.name == "write")
        #expect(first.pid == 4711)
        #expect(first.ts == 1.5)
        #expect(first.dur == 2.007)
        #expect(first.args?.offset == 8192)
        #expect(first.args?.length == 4096)
        #expect(first.args?.flags == ["fua"])
        #expect(slices.last?.args?.error == "EINVAL")
        let names = events.filter { $0.ph == "M" }.compactMap { $0.args?.name }
        #expect(names == ["ramdisk-nbd 0.1.0", "connection 3 [a\"\\\n]"])
    }

    @Test("has overlapping requests, and only those, in different lanes for Chrome")
    func overlap() throws {
        let slices = try chrome([
            .some(at: 0, duration: 100), .some(at: 50, duration: 100), .some(at: 60, duration: 20),
            .some(at: 100, duration: 10), .some(at: 100, connection: 4, duration: 10),
        ]).filter { $0.ph == "X" }
        let lanes = slices.compactMap(\.tid)
        #expect(lanes[0] == lanes[3])
        #expect(Set(lanes[0...2]).count == 3)
        #expect(!lanes[0...3].contains(lanes[4]))
    }

    @Test("is complete without requests")
    func empty() throws {
        #expect(try chrome([]).count == 1)
    }

    @Test("reports lost requests")
    func lost() throws {
        var text = TraceText()
        #expect(text.lost(7, at: 2_000_000_000).contains("lost 7 requests"))
        var format = ChromeTrace()
        let all = format.begin(.some) + format.lost(7, at: 2_000) + format.end()
        let events = try JSONDecoder().decode([ChromeEvent].self, from: Data(all.utf8))
        #expect(events.last?.name == "lost 7 requests")
        #expect(events.last?.ts == 2)
    }

    @Test("has its file's format from the extension of the name")
    func extensions() {
        #expect(TraceFileFormat(path: "a.b/work.iolog") == .iolog)
        #expect(TraceFileFormat(path: "/x/work.JSON") == .chrome)
        #expect(TraceFileFormat(path: "/x.json/work") == nil)
    }
}
