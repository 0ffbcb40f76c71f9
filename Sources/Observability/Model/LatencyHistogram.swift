internal import NBDServer

/// A histogram of durations in nanoseconds, with the buckets of ``NBDServer/LatencyScale``. Its
/// JSON has the buckets that are not empty, and percentiles, so that its reader need not compute
/// them.
package struct LatencyHistogram: Sendable, Equatable {
    /// Number of durations.
    package private(set) var count: UInt64 = 0
    /// Sum of the durations.
    package private(set) var sumNanoseconds: UInt64 = 0
    /// Counts by index of the bucket, without trailing zeros.
    package private(set) var counts: [UInt64] = []

    /// Creates an empty histogram.
    package init() {}

    /// Creates a histogram from the engine's counters.
    package init(counts: [UInt64], sumNanoseconds: UInt64) {
        let used = counts.lastIndex { $0 != 0 }.map { $0 + 1 } ?? 0
        self.counts = Array(counts.prefix(used))
        self.sumNanoseconds = sumNanoseconds
        count = counts.reduce(0, &+)
    }

    /// Mean in nanoseconds; nil when the histogram is empty.
    package var meanNanoseconds: Double? {
        count == 0 ? nil : Double(sumNanoseconds) / Double(count)
    }

    /// Returns the duration in nanoseconds that `percent` of all durations do not exceed, rounded
    /// up to the bound of a bucket: at most one eighth too long. Nil when the histogram is empty.
    package func percentile(_ percent: Double) -> UInt64? {
        guard count > 0 else { return nil }
        let rank = (Double(count) * percent / 100).rounded(.up)
        // As a Double, the largest count is one more than it is.
        let wanted = max(1, UInt64(exactly: rank) ?? count)
        var rest = wanted
        for (bucket, bucketCount) in counts.enumerated() {
            if bucketCount >= rest { return LatencyScale.upperBound(of: bucket) }
            rest -= bucketCount
        }
        return LatencyScale.upperBound(of: max(0, counts.count - 1))
    }

    /// Returns the durations added since an earlier copy of the same histogram.
    package func since(_ earlier: LatencyHistogram) -> LatencyHistogram {
        let counts = counts.enumerated().map { bucket, bucketCount in
            bucketCount &- (bucket < earlier.counts.count ? earlier.counts[bucket] : 0)
        }
        return LatencyHistogram(
            counts: counts, sumNanoseconds: sumNanoseconds &- earlier.sumNanoseconds)
    }

    /// Adds one duration.
    package mutating func add(nanoseconds: UInt64) {
        let bucket = LatencyScale.bucket(of: nanoseconds)
        counts += [UInt64](repeating: 0, count: max(0, bucket + 1 - counts.count))
        counts[bucket] += 1
        count += 1
        sumNanoseconds &+= nanoseconds
    }

    /// Adds the durations of another histogram.
    package mutating func add(_ other: LatencyHistogram) {
        let length = max(counts.count, other.counts.count)
        counts += [UInt64](repeating: 0, count: length - counts.count)
        // A server could send counts whose sum is too large.
        for (bucket, otherCount) in other.counts.enumerated() { counts[bucket] &+= otherCount }
        count &+= other.count
        sumNanoseconds &+= other.sumNanoseconds
    }
}

extension LatencyHistogram: Codable {
    private enum Key: String, CodingKey {
        case count, sumNanoseconds, p50Nanoseconds, p90Nanoseconds, p99Nanoseconds
        case p999Nanoseconds, buckets
    }

    /// A bucket that is not empty.
    private struct Bucket: Codable {
        package var index: Int
        /// Its durations are less than this.
        package var belowNanoseconds: UInt64
        package var count: UInt64
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        var counts = [UInt64](repeating: 0, count: LatencyScale.bucketCount)
        for bucket in try values.decode([Bucket].self, forKey: .buckets) {
            guard counts.indices.contains(bucket.index) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .buckets, in: values,
                    debugDescription: "there is no bucket \(bucket.index)")
            }
            counts[bucket.index] = bucket.count
        }
        self.init(
            counts: counts,
            sumNanoseconds: try values.decode(UInt64.self, forKey: .sumNanoseconds))
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Key.self)
        try values.encode(count, forKey: .count)
        try values.encode(sumNanoseconds, forKey: .sumNanoseconds)
        try values.encodeIfPresent(percentile(50), forKey: .p50Nanoseconds)
        try values.encodeIfPresent(percentile(90), forKey: .p90Nanoseconds)
        try values.encodeIfPresent(percentile(99), forKey: .p99Nanoseconds)
        try values.encodeIfPresent(percentile(99.9), forKey: .p999Nanoseconds)
        let buckets = counts.enumerated().filter { $0.element != 0 }.map { index, count in
            Bucket(
                index: index, belowNanoseconds: LatencyScale.upperBound(of: index), count: count)
        }
        try values.encode(buckets, forKey: .buckets)
    }
}
