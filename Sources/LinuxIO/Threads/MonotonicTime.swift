public import CLinux
internal import Glibc

/// A moment, as the time since some fixed moment in the past. clock_gettime(2), `CLOCK_MONOTONIC`
@frozen public struct MonotonicTime: Sendable, Comparable, BitwiseCopyable {
    /// Nanoseconds since the fixed moment.
    public let nanoseconds: UInt64

    /// The moment that is this many nanoseconds after the fixed one.
    @inlinable public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// Returns the current time.
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public static func now() -> MonotonicTime {
        MonotonicTime(nanoseconds: clinux_monotonic_nanoseconds())
    }

    /// Returns the moment that is this much later.
    public func adding(milliseconds: Int) -> MonotonicTime {
        MonotonicTime(nanoseconds: nanoseconds &+ UInt64(milliseconds) &* 1_000_000)
    }

    /// Suspends the calling thread until this moment; returns at once when it is past. clock_nanosleep(2)
    public func sleep() { clinux_sleep_until(nanoseconds) }

    /// Returns the milliseconds from `now` until this moment, rounded up; 0 when it is past.
    public func milliseconds(from now: MonotonicTime) -> Int {
        nanoseconds <= now.nanoseconds
            ? 0 : Int((nanoseconds - now.nanoseconds + 999_999) / 1_000_000)
    }

    /// Whether the first moment is earlier.
    @inlinable public static func < (first: MonotonicTime, second: MonotonicTime) -> Bool {
        first.nanoseconds < second.nanoseconds
    }
}

extension Duration {
    /// Milliseconds, rounded up, and within what a kernel timeout holds.
    package var wholeMilliseconds: Int {
        let milliseconds = (self / .milliseconds(1)).rounded(.up)
        return Int(max(0, min(milliseconds, Double(Int32.max))))
    }

    /// Microseconds, rounded up, and within what an `Int32` holds.
    package var wholeMicroseconds: Int {
        let microseconds = (self / .microseconds(1)).rounded(.up)
        return Int(max(0, min(microseconds, Double(Int32.max))))
    }
}
