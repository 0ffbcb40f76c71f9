internal import CLinux
internal import Glibc
public import SystemPackage

/// A descriptor that becomes readable when somebody calls ``signal()``. eventfd(2)
public struct EventFD: ~Copyable, Sendable {
    package let descriptor: Descriptor

    /// A wake-up that is not signalled yet.
    public init() throws(Errno) {
        descriptor = Descriptor(adopting: try checked(clinux_event_create()))
    }

    /// Wakes the waiting thread, now or when it waits next. Safe from any thread.
    public func signal() {
        var one: UInt64 = 1
        // Fails only when it is signalled 2^64 times without being cleared: it is awake then.
        _ = unsafe write(descriptor.rawValue, &one, 8)
    }

    /// Forgets the signals so far.
    public func clear() {
        var count: UInt64 = 0
        _ = unsafe read(descriptor.rawValue, &count, 8)
    }
}
