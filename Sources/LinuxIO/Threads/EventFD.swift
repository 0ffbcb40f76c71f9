internal import CLinux
internal import Glibc
public import SystemPackage

/// A descriptor that a thread can wait for, and that is readable once another thread has called ``signal()``.
/// eventfd(2)
public struct EventFD: ~Copyable, Sendable {
    package let descriptor: Descriptor

    /// Makes an event that is not signalled.
    public init() throws(Errno) {
        descriptor = Descriptor(adopting: try checked(clinux_event_create()))
    }

    /// Signals the event, which stays signalled until ``clear()``. Any thread may call it.
    public func signal() {
        var one: UInt64 = 1
        // Fails only after 2^64 signals without a clear; the event is signalled then.
        _ = unsafe write(descriptor.rawValue, &one, 8)
    }

    /// Clears the event, however often it was signalled.
    public func clear() {
        var count: UInt64 = 0
        _ = unsafe read(descriptor.rawValue, &count, 8)
    }
}
