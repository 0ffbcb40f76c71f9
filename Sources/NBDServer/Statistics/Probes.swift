internal import CLinux

/// Static probes (USDT) of the provider `ramdisk_nbd`.
///
/// Each is a single no-op instruction unless a tracer has attached to it.
enum Probes {
    /// A connection was accepted.
    static func connectionOpen(_ connection: UInt64) {
        clinux_probe_connection_open(connection)
    }

    /// A connection has ended after a number of requests.
    static func connectionClose(_ connection: UInt64, requests: UInt64) {
        clinux_probe_connection_close(connection, requests)
    }

    /// A request was received, except for the data of a WRITE.
    @_semantics("no_performance_analysis") @inline(__always)
    static func requestReceived(
        _ connection: UInt64, command: UInt64, offset: UInt64, length: UInt64
    ) {
        clinux_probe_request_received(connection, command, offset, length)
    }

    /// A request's reply was sent. `nanoseconds` is the time since the request was received.
    @_semantics("no_performance_analysis") @inline(__always)
    static func requestDone(
        _ connection: UInt64, command: UInt64, error: UInt64, nanoseconds: UInt64
    ) {
        clinux_probe_request_done(connection, command, error, nanoseconds)
    }
}
