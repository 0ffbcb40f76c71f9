public import CLinux
internal import Glibc

/// Time since some moment in the past. clock_gettime(2), `CLOCK_MONOTONIC`
@frozen public struct MonotonicTime: Sendable, Comparable, BitwiseCopyable {
    /// Nanoseconds since that moment.
    public let nanoseconds: UInt64

    /// A time of so many nanoseconds.
    @inlinable public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// The time now.
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public static func now() -> MonotonicTime {
        MonotonicTime(nanoseconds: clinux_monotonic_nanoseconds())
    }

    /// A time so much later.
    public func adding(milliseconds: Int) -> MonotonicTime {
        MonotonicTime(nanoseconds: nanoseconds &+ UInt64(milliseconds) &* 1_000_000)
    }

    /// Sleeps until this time; not at all when it is past. clock_nanosleep(2)
    public func sleep() { clinux_sleep_until(nanoseconds) }

    /// Milliseconds from `now` until this time, rounded up; 0 when it is past.
    public func milliseconds(from now: MonotonicTime) -> Int {
        nanoseconds <= now.nanoseconds
            ? 0 : Int((nanoseconds - now.nanoseconds + 999_999) / 1_000_000)
    }

    /// Whether the first time is earlier.
    @inlinable public static func < (first: MonotonicTime, second: MonotonicTime) -> Bool {
        first.nanoseconds < second.nanoseconds
    }
}

/// What the processor can do, and how a spinning thread is kind to it.
public enum Processor {
    /// Processors that are online. sysconf(3), `_SC_NPROCESSORS_ONLN`
    public static var onlineCount: Int { sysconf(CInt(_SC_NPROCESSORS_ONLN)) }

    /// One short pause in a spinning wait.
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public static func relax() { clinux_relax() }
}
