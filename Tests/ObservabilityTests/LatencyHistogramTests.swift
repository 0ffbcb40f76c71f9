@testable import Observability
import Testing

@Suite("A histogram of latencies") struct LatencyHistogramTests {
    @Test(
        "has percentiles whatever the counts are that a server sends",
        arguments: [[UInt64.max], [.max, .max], [0, .max, 1], [1 << 63, 1 << 63]])
    func extremes(counts: [UInt64]) {
        var histogram = LatencyHistogram(counts: counts, sumNanoseconds: .max)
        for _ in 0..<2 {
            // Their sum may be 0, which is an empty histogram.
            #expect((histogram.percentile(50) == nil) == (histogram.count == 0))
            #expect((histogram.percentile(100) == nil) == (histogram.count == 0))
            histogram.add(histogram)
        }
    }

    @Test("has the bound of the bucket in which a percentile is")
    func percentiles() {
        var histogram = LatencyHistogram()
        for microseconds in 1...8 { histogram.add(nanoseconds: UInt64(microseconds) * 1_000) }
        for microseconds in 1...8 {
            let exact = UInt64(microseconds) * 1_000
            let bound = histogram.percentile(Double(microseconds) * 12.5) ?? 0
            #expect(bound > exact && bound <= exact * 9 / 8)
        }
    }

    @Test("of activities of any size are shown as sums and rates")
    func activity() {
        let most = CommandActivity(
            command: .read, requests: .max, bytes: .max, errors: .max,
            latency: LatencyHistogram(counts: [.max], sumNanoseconds: .max))
        let activity = Activity(
            commands: [most, most], batches: Batches(count: .max, requests: .max),
            polling: Polling(hits: .max, sleeps: .max))
        #expect(activity.requests == .max &- 1)
        #expect(activity.polling.hitRate == 0.5)
    }
}
