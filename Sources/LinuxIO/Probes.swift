// Marks for tracers: bpftrace, perf, SystemTap.

public import CLinux

/// Static probes (USDT) of the provider `ramdisk_nbd`. Each costs one instruction that does nothing,
/// as long as nobody watches it.
public enum Probes {
    /// A connection was taken in.
    public static func connectionOpen(_ connection: UInt64) {
        clinux_probe_connection_open(connection)
    }

    /// A connection has ended, with so many requests.
    public static func connectionClose(_ connection: UInt64, requests: UInt64) {
        clinux_probe_connection_close(connection, requests)
    }

    /// A request was received whole, except for a WRITE's data.
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public static func requestReceived(
        _ connection: UInt64, command: UInt64, offset: UInt64, length: UInt64
    ) {
        clinux_probe_request_received(connection, command, offset, length)
    }

    /// A request's reply was sent, so many nanoseconds after the request was received.
    @_semantics("no_performance_analysis") @inlinable @inline(__always)
    public static func requestDone(
        _ connection: UInt64, command: UInt64, error: UInt64, nanoseconds: UInt64
    ) {
        clinux_probe_request_done(connection, command, error, nanoseconds)
    }
}
