internal import CLinux

/// Static probes (USDT) of the provider `ramdisk_nbd`. Each costs one instruction that does nothing,
/// as long as nobody watches it.
enum Probes {
    /// A connection was taken in.
    static func connectionOpen(_ connection: UInt64) {
        clinux_probe_connection_open(connection)
    }

    /// A connection has ended, with so many requests.
    static func connectionClose(_ connection: UInt64, requests: UInt64) {
        clinux_probe_connection_close(connection, requests)
    }

    /// A request was received whole, except for a WRITE's data.
    @_semantics("no_performance_analysis") @inline(__always)
    static func requestReceived(
        _ connection: UInt64, command: UInt64, offset: UInt64, length: UInt64
    ) {
        clinux_probe_request_received(connection, command, offset, length)
    }

    /// A request's reply was sent, so many nanoseconds after the request was received.
    @_semantics("no_performance_analysis") @inline(__always)
    static func requestDone(
        _ connection: UInt64, command: UInt64, error: UInt64, nanoseconds: UInt64
    ) {
        clinux_probe_request_done(connection, command, error, nanoseconds)
    }
}
