@testable import ProgramSupport
@testable import Observability
@testable import ObservabilityClient
import Testing

@Suite("The summary of a trace") struct SummaryTests {
    private func text(_ summary: TraceSummary, width: Int = 80) -> String {
        SummaryText(summary: summary, width: width).lines
            .map { $0.text(coloured: false) + "\n" }.joined()
    }

    @Test("counts commands, regions, sizes and durations")
    func golden() {
        var summary = TraceSummary(disks: [("", 64 << 20)])
        for _ in 0..<3 { summary.add(.some(.read, at: 0, offset: 0, length: 4096, duration: 1000)) }
        summary.add(.some(.write, at: 999_000, offset: 32 << 20, length: 1 << 20, duration: 1000))
        summary.add(.some(.write, at: 0, offset: 63 << 20, length: 1 << 20, error: "ENOSPC"))
        summary.add(.some(.flush, at: 0, offset: 0, length: 0, duration: 900))
        summary.addDropped(5)
        #expect(
            text(summary, width: 50) == """
                6 requests in 1 ms, and 5 more that were lost

                COMMAND         REQUESTS       BYTES  ERRORS     MEDIAN       99 %    LONGEST
                read                   3      12 KiB       0    1.02 µs    1.02 µs    1.02 µs
                write                  2       1 MiB       1    1.02 µs    13.3 µs    13.3 µs
                flush                  1                   0     960 ns     960 ns     960 ns
                  ENOSPC: 1

                OFFSET  the disk, 64 MiB, each character 1.60 MiB
                read     █·······································
                written  ····················█···················

                SIZE
                up to     4 KiB        3  60.0 % ████████████████
                up to     8 KiB        0   0.0 %\u{20}
                up to    16 KiB        0   0.0 %\u{20}
                up to    32 KiB        0   0.0 %\u{20}
                up to    64 KiB        0   0.0 %\u{20}
                up to   128 KiB        0   0.0 %\u{20}
                up to   256 KiB        0   0.0 %\u{20}
                up to   512 KiB        0   0.0 %\u{20}
                up to     1 MiB        2  40.0 % ██████████▋

                DURATION
                up to   1.02 µs        5  83.3 % ████████████████
                up to   2.05 µs        0   0.0 %\u{20}
                up to   4.10 µs        0   0.0 %\u{20}
                up to   8.19 µs        0   0.0 %\u{20}
                up to   16.4 µs        1  16.7 % ███▎

                """)
    }

    @Test("of no requests is one line")
    func nothing() {
        #expect(text(TraceSummary(disks: [("", 4096)])) == "0 requests in 0 ns\n")
    }

    @Test("accepts every offset and length")
    func extremes() {
        var summary = TraceSummary(disks: [("", .max), ("small", 4096)])
        summary.add(.some(.read, offset: .max, length: .max))
        summary.add(.some(.read, offset: .max - 1, length: .max))
        summary.add(.some(.write, offset: 5000, length: 1, export: "small"))
        summary.add(.some(.write, offset: 4095, length: .max, export: "small", duration: .max / 2))
        summary.add(.some(.write, offset: 0, length: 1, export: "none"))
        #expect(text(summary).contains("disk small, 4 KiB"))
    }
}
