@testable import ProgramSupport
@testable import ObservabilityClient
@testable import Observability
import LinuxHost
import LinuxIO
import Testing

@Suite("top") struct TopTests {
    /// Returns an activity whose counters are all proportional to `amount`.
    private static func activity(_ amount: UInt64, slow: Bool = false) -> Activity {
        var latency = LatencyHistogram()
        for _ in 0..<amount { latency.add(nanoseconds: slow ? 200_000 : 10_000) }
        return Activity(
            commands: [
                CommandActivity(
                    command: .read, requests: amount, bytes: amount * 4096, errors: 0,
                    latency: latency),
                CommandActivity(
                    command: .write, requests: amount * 2, bytes: amount * 2 * 16384, errors: 0,
                    latency: latency),
            ],
            errors: amount > 0 ? [ErrorCount(error: "EINVAL", requests: amount / 100)] : [],
            batches: Batches(count: amount, requests: amount * 3),
            polling: Polling(hits: 1, sleeps: 1))
    }

    private static func connection(
        _ number: UInt64, _ amount: UInt64, export: String? = "vm", slow: Bool = false
    ) -> ConnectionStats {
        ConnectionStats(
            number: number, client: "127.0.0.1:4321\(number)", export: export, isTLS: number == 2,
            openSeconds: 1, mappedBytes: 1, activity: activity(amount, slow: slow))
    }

    private static func disk(_ name: String, _ amount: UInt64) -> DiskStats {
        DiskStats(
            export: name, sizeBytes: 64 << 20, residentBytes: 16 << 20, isSparse: true,
            isReadOnly: false, isLocked: false, openConnections: 1, activity: activity(amount))
    }

    /// Returns the snapshot after some seconds, in which every counter grows at a constant rate.
    private static func stats(_ second: UInt64, pid: Int32 = 4711) -> Stats {
        Stats(
            server: ServerStats(
                version: "0.1.0", pid: pid, uptimeSeconds: Double(second),
                monotonicNanoseconds: second * 1_000_000_000, isCounting: true, addresses: [],
                residentBytes: 0, openConnections: 3, maximumConnections: 128,
                acceptedConnections: 3, refusedConnections: 0, violations: 0, traceReaders: 0,
                activity: activity(1300 * second)),
            disks: [disk("vm", 1000 * second), disk("scratch", 300 * second)],
            connections: [
                connection(1, 200 * second), connection(2, 800 * second, slow: true),
                connection(3, 300 * second, export: "scratch"), connection(4, 0, export: nil),
            ])
    }

    private static var model: TopModel {
        var model = TopModel()
        for second in 1...3 { model.add(stats(UInt64(second))) }
        return model
    }

    private func text(_ model: TopModel, columns: Int = 80, rows: Int = 24) -> [String] {
        TopScreen(model: model, size: .init(columns: columns, rows: rows), interval: 1).lines
            .map { $0.text(coloured: false, limit: columns).withoutTrailingSpaces }
    }

    @Test("lists the key to quit at any width", arguments: [30, 40, 60, 70, 80])
    func footer(columns: Int) {
        let footer = text(Self.model, columns: columns).last ?? ""
        #expect(footer.contains(" q  quit"))
        #expect(!footer.contains("paus…") && footer.hasSuffix("paus") == false)
    }

    @Test("as lines fits into 80 columns")
    func lines() {
        #expect(TopLine.header.count < 80)
        #expect(TopLine.line(Self.model)?.count == TopLine.header.count)
    }

    @Test("statistics since the start fit into the columns, and nothing is omitted")
    func stats() {
        let words = { (text: String) in
            Set(text.split { $0 == " " || $0 == "\n" })
        }
        let wide = StatsText(Self.stats(3)).text
        for width in [50, 60, 80] {
            let text = StatsText(Self.stats(3), width: width).text
            #expect(text.split(separator: "\n").allSatisfy { $0.count <= width }, "\(text)")
            #expect(words(text) == words(wide))
        }
    }

    @Test("show when a disk was saved, what has changed since, and why a save failed")
    func saves() {
        var saved = SaveStats(export: "vm", image: "/var/lib/vm.img")
        saved.dirtyBytes = 3 << 20
        var stats = Self.stats(3)
        stats.saves = [saved]
        #expect(StatsText(stats).text.contains("never"))
        saved.savedUnixSeconds = 1
        saved.seconds = 0.25
        saved.writtenBytes = 2 << 20
        saved.failures = 1
        saved.error = "cannot write /var/lib/vm.img.new"
        stats.saves = [saved]
        let text = StatsText(stats).text
        for part in [
            "ago", "250 ms", "2 MiB", "3 MiB", "not saved", "/var/lib/vm.img", saved.error ?? "",
        ] {
            #expect(text.contains(part), "\(part) in \(text)")
        }
        var model = TopModel()
        model.add(stats)
        #expect(self.text(model, columns: 100)[0].contains("save failed"))
        saved.restore = RestoreStats(bytesDone: 1, bytesTotal: 8, error: "it is damaged")
        stats.saves = [saved]
        #expect(StatsText(stats).text.contains("restoring 12 %; it is damaged"))
        model.add(stats)
        #expect(self.text(model, columns: 100)[0].contains("restoring 12 %"))
    }

    @Test("fits into 80 by 24")
    func golden() {
        #expect(
            text(Self.model).joined(separator: "\n") == """
                ramdisk-nbd 0.1.0  pid 4711  up 3 s  3 of 128 connections
                2 disks, 128 MiB; in memory 32 MiB ███░░░░░░░░░ 25 %

                           BYTES/s     REQ/s  AVG SIZE     DEPTH  last 30 s
                read      5.08 MiB     1.30k     4 KiB                                        ██
                write     40.6 MiB     2.60k    16 KiB                                        ██
                total     45.7 MiB     3.90k                   3                              ██

                LATENCY       50 %      90 %      99 %    99.9 %  last 30 s
                read       10.2 µs   10.2 µs   10.2 µs   10.2 µs                              ██
                write      10.2 µs   10.2 µs   10.2 µs   10.2 µs                              ██
                flush
                trim

                 CONN  CLIENT             DISK       READ/s  WRITE/s  REQ/s DEPTH     99 % ERR/s
                    2  TLS 127.0.0.1:432… vm       3.13 MiB   25 MiB  2.40k     3   213 µs     8
                    3  127.0.0.1:43213    scratch  1.17 MiB 9.38 MiB    900     3  10.2 µs     3
                    1  127.0.0.1:43211    vm        800 KiB 6.25 MiB    600     3  10.2 µs     2
                    4  127.0.0.1:43214    -             0 B      0 B      0




                 s  sort: requests   d  disk: all   u  units: KiB   p  pause   q  quit
                """)
    }

    @Test(
        "never has more lines than rows, nor longer lines than columns",
        arguments: [(80, 24), (200, 60), (60, 20), (40, 12), (20, 5), (1, 1)])
    func sizes(columns: Int, rows: Int) {
        let lines = text(Self.model, columns: columns, rows: rows)
        #expect(lines.count == rows)
        #expect(lines.allSatisfy { $0.count <= columns })
    }

    @Test("shows how many connections do not fit")
    func more() {
        #expect(text(Self.model, rows: 18)[16] == "and 3 more")
        #expect(!text(Self.model, rows: 20).contains { $0.hasPrefix("and") })
    }

    @Test("sorts connections by the selected order")
    func order() {
        var model = Self.model
        #expect(model.rows.map(\.connection.number) == [2, 3, 1, 4])
        model.nextOrder()
        #expect(model.order == .bytes)
        #expect(model.rows.map(\.connection.number) == [2, 3, 1, 4])
        model.nextOrder()
        #expect(model.order == .latency)
        #expect(model.rows.map(\.connection.number) == [2, 1, 3, 4])
        model.nextOrder()
        #expect(model.rows.map(\.connection.number) == [1, 2, 3, 4])
        model.nextOrder()
        #expect(model.order == .requests)
    }

    @Test("shows each disk in turn, then all of them again")
    func disks() {
        var model = Self.model
        model.nextDisk()
        #expect(model.disk == "vm")
        #expect(model.rates.read.requests == 1000)
        #expect(model.rows.map(\.connection.number) == [2, 1])
        #expect(text(model)[1].hasPrefix("disk vm, sparse, 64 MiB; in memory 16 MiB"))
        model.nextDisk()
        #expect(model.rates.read.requests == 300)
        model.nextDisk()
        #expect(model.disk == nil)
        #expect(model.rates.read.requests == 1300)
    }

    @Test("ignores samples while it is paused")
    func pause() {
        var model = Self.model
        model.isPaused = true
        model.add(Self.stats(9))
        #expect(model.stats?.server.uptimeSeconds == 3)
        #expect(text(model)[0].hasSuffix("PAUSED"))
        model.isPaused = false
        model.add(Self.stats(10))
        #expect(model.seconds == 7)
        #expect(model.rates.read.requests == 1300)
    }

    @Test("clears its history when the server is another one")
    func otherServer() {
        var model = Self.model
        model.add(Self.stats(1, pid: 5))
        #expect(model.seconds == nil)
        #expect(model.rates == Rates())
        #expect(model.history.isEmpty)
    }

    @Test("shows decimal units on request")
    func decimal() {
        var model = Self.model
        model.isDecimal = true
        #expect(text(model)[4].contains("5.32 MB"))
    }

    @Test("has no rates before the second sample")
    func first() {
        var model = TopModel()
        #expect(text(model) == ["waiting for the server"])
        model.add(Self.stats(1))
        #expect(TopLine.line(model) == nil)
        #expect(text(model)[4] == "read           0 B         0")
    }

    @Test("prints a line for each sample without a terminal")
    func line() throws {
        let line = try #require(TopLine.line(Self.model))
        #expect(
            TopLine.header + "\n" + line == """
                    UPTIME  CONN    READ/s   REQ/s      99 %   WRITE/s   REQ/s      99 %  DEPTH
                       3 s     3  5.08 MiB   1.30k   10.2 µs  40.6 MiB   2.60k   10.2 µs      3
                """)
    }
}
