import Testing

@testable import NBDServer

@Suite("The latency buckets")
struct LatencyScaleTests {
    @Test("hold every time below their bound, and at least eight ninths of it")
    func bounds() {
        var time: UInt64 = 128
        while time < 1 << 37 {
            for nanoseconds in [time, time + 1, time + time / 7, time + time / 2, 2 * time - 1]
            where nanoseconds < 1 << 37 {
                let bound = LatencyScale.upperBound(of: LatencyScale.bucket(of: nanoseconds))
                #expect(nanoseconds < bound)
                #expect(bound - nanoseconds <= nanoseconds / 8 + 1)
            }
            time *= 2
        }
    }

    @Test("follow each other without a gap")
    func order() {
        for bucket in 0..<LatencyScale.bucketCount - 1 {
            let bound = LatencyScale.upperBound(of: bucket)
            #expect(LatencyScale.bucket(of: bound - 1) == bucket)
            #expect(LatencyScale.bucket(of: bound) == bucket + 1)
        }
    }

    @Test("include the shortest and the longest possible time")
    func ends() {
        #expect(LatencyScale.bucket(of: 0) == 0)
        #expect(LatencyScale.bucket(of: .max) == LatencyScale.bucketCount - 1)
        #expect(LatencyScale.upperBound(of: LatencyScale.bucketCount - 1) == .max)
        #expect(LatencyScale.bucketCount <= CounterLayout.wordsOfLatency)
    }
}
