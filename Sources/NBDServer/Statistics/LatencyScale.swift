/// Buckets for times in nanoseconds: eight of equal width in each power of two.
///
/// A bucket's upper bound exceeds the times in it by at most one eighth. The scale is log-linear,
/// as that of HDR histograms.
public enum LatencyScale {
    /// Times below 2^7 ns share the first bucket.
    private static var firstPower: Int { 7 }
    /// Times from 2^37 ns (137 s) on share the last bucket.
    private static var lastPower: Int { 37 }
    /// Three bits: eight buckets in each power of two.
    private static var stepBits: Int { 3 }

    /// Number of buckets.
    public static var bucketCount: Int { (lastPower - firstPower) << stepBits + 2 }

    /// Returns the bucket of a time.
    @inline(__always)
    public static func bucket(of nanoseconds: UInt64) -> Int {
        let power = 63 &- nanoseconds.leadingZeroBitCount
        if power < firstPower { return 0 }
        if power >= lastPower { return bucketCount &- 1 }
        let step = Int(truncatingIfNeeded: nanoseconds &>> UInt64(power &- stepBits)) & 7
        return (power &- firstPower) &<< stepBits &+ step &+ 1
    }

    /// Returns the exclusive upper bound of a bucket's times, in nanoseconds; `UInt64.max` for the
    /// last bucket.
    public static func upperBound(of bucket: Int) -> UInt64 {
        if bucket <= 0 { return 1 << UInt64(firstPower) }
        if bucket >= bucketCount - 1 { return .max }
        let power = UInt64(firstPower + (bucket - 1) >> stepBits)
        let step = UInt64((bucket - 1) & 7)
        return (8 + step + 1) << (power - UInt64(stepBits))
    }
}
