// A clock that only goes forward.

internal import CLinux
internal import Glibc

/// Time since some moment in the past. clock_gettime(2), `CLOCK_MONOTONIC`
public struct MonotonicTime: Sendable, Comparable, BitwiseCopyable {
    /// Nanoseconds since that moment.
    public let nanoseconds: UInt64

    /// A time of so many nanoseconds.
    public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// The time now.
    @inline(__always)
    public static func now() -> MonotonicTime {
        MonotonicTime(nanoseconds: clinux_monotonic_nanoseconds())
    }

    /// A time so much later.
    public func adding(milliseconds: Int) -> MonotonicTime {
        MonotonicTime(nanoseconds: nanoseconds &+ UInt64(milliseconds) &* 1_000_000)
    }

    /// Milliseconds from `now` until this time, rounded up; 0 when it is past.
    public func milliseconds(from now: MonotonicTime) -> Int {
        nanoseconds <= now.nanoseconds
            ? 0 : Int((nanoseconds - now.nanoseconds + 999_999) / 1_000_000)
    }

    /// Whether the first time is earlier.
    public static func < (first: MonotonicTime, second: MonotonicTime) -> Bool {
        first.nanoseconds < second.nanoseconds
    }
}

/// What the processor can do, and how a spinning thread is kind to it.
public enum Processor {
    /// Processors that are online. sysconf(3), `_SC_NPROCESSORS_ONLN`
    public static var onlineCount: Int { sysconf(CInt(_SC_NPROCESSORS_ONLN)) }

    /// One short pause in a spinning wait.
    @inline(__always)
    public static func relax() { clinux_relax() }
}
