internal import CLinux
internal import Glibc
public import SystemPackage

/// A direction of a connection, each of which has its own keys.
@frozen public enum RecordDirection: Sendable {
    /// From the peer. `TLS_RX`
    case receiving
    /// To the peer. `TLS_TX`
    case sending
}

/// A TLS record other than application data.
@frozen public enum NonDataRecord: Sendable, Equatable {
    /// A message about the session itself, with its description code. RFC 5246, section 7.2
    case alert(isFatal: Bool, UInt8)
    /// A part of a handshake, or new keys.
    case handshake
    /// Any other record, with its content type.
    case other(UInt8)

    init(type: UInt8, start: (UInt8, UInt8)) {
        switch type {
        case 21: self = .alert(isFatal: start.0 > 1, start.1)
        case 22: self = .handshake
        default: self = .other(type)
        }
    }
}

/// TLS in the kernel.
package enum KernelTLS {
    /// Makes the kernel load its module for TLS, which takes a capability, before a server gives that up.
    package static func loadModule() {
        guard let socket = try? Descriptor.streamSocket(AF_INET) else { return }
        // The call fails, since the socket is not connected, but the module is loaded.
        try? SocketHandle(rawValue: socket.rawValue).attachKernelTLS()
        extendLifetime(socket)
    }
}

extension SocketHandle {
    /// Prepares the socket for TLS in the kernel; nothing changes until it has keys. tcp(7), `TCP_ULP`
    ///
    /// - Throws: when there is no such support: on Unix sockets, and without the kernel module `tls`.
    public func attachKernelTLS() throws(Errno) {
        try checked(clinux_tls_attach(rawValue))
    }

    /// Hands one direction of a TLS 1.2 session whose cipher is AES-GCM to the kernel. No copy of the key is kept.
    ///
    /// - Parameters:
    ///   - key: 16 or 32 bytes.
    ///   - salt: the constant part of the nonce, 4 bytes.
    ///   - sequence: the sequence number of the next record, 8 bytes in big-endian order.
    public func useKernelTLS(
        _ direction: RecordDirection, key: borrowing RawSpan, salt: borrowing RawSpan,
        sequence: [UInt8]
    ) throws(Errno) {
        guard salt.byteCount == 4, sequence.count == 8 else { throw .invalidArgument }
        let isSending: CInt = direction == .sending ? 1 : 0
        let result = unsafe key.withUnsafeBytes { key in
            unsafe salt.withUnsafeBytes { salt in
                // Sound: the shim reads exactly these counts.
                unsafe clinux_tls_set_keys(
                    rawValue, isSending, key.baseAddress, key.count, salt.baseAddress, sequence)
            }
        }
        try checked(result)
    }

    /// Sends a close_notify without waiting. RFC 5246, section 7.2.1
    public func sendCloseNotify() {
        // A peer that misses it learns from the socket that the connection has ended.
        _ = clinux_tls_close_notify(rawValue)
    }

    /// Receives the next record, on a socket with TLS in the kernel from which a receive has failed with EIO:
    /// the record is not application data. Nil when there is none. `TLS_GET_RECORD_TYPE`
    public func receiveNonDataRecord() -> NonDataRecord? {
        var start: [UInt8] = [0, 0]
        let type = unsafe clinux_tls_other_record(rawValue, &start)
        guard type >= 0 else { return nil }
        return NonDataRecord(type: UInt8(truncatingIfNeeded: type), start: (start[0], start[1]))
    }
}
