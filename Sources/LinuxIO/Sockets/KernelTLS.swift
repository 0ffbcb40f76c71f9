internal import CLinux
public import SystemPackage

/// A direction of a connection, as its keys have it.
@frozen public enum RecordDirection: Sendable {
    /// From the peer. `TLS_RX`
    case receiving
    /// To the peer. `TLS_TX`
    case sending
}

/// A record that is not data.
@frozen public enum NonDataRecord: Sendable, Equatable {
    /// What the two sides tell of the session itself, by number. RFC 5246, section 7.2
    case alert(isFatal: Bool, UInt8)
    /// A part of a handshake, or new keys.
    case handshake
    /// Anything else, by number.
    case other(UInt8)

    init(type: UInt8, start: (UInt8, UInt8)) {
        switch type {
        case 21: self = .alert(isFatal: start.0 > 1, start.1)
        case 22: self = .handshake
        default: self = .other(type)
        }
    }
}

extension SocketHandle {
    /// Prepares the socket for it; nothing changes until there are keys. Throws where there is none: on
    /// Unix sockets, and where the module is not there. tcp(7), `TCP_ULP`
    public func attachKernelTLS() throws(Errno) {
        try checked(clinux_tls_attach(rawValue))
    }

    /// Has the kernel go on with one direction of a TLS 1.2 session whose cipher is AES-GCM. No key is
    /// kept or copied on the way.
    ///
    /// - Parameters:
    ///   - key: 16 or 32 bytes.
    ///   - salt: the part of the nonce that stays, 4 bytes.
    ///   - sequence: the number of the next record, 8 bytes, the highest first.
    public func useKernelTLS(
        _ direction: RecordDirection, key: borrowing RawSpan, salt: borrowing RawSpan,
        sequence: [UInt8]
    ) throws(Errno) {
        guard salt.byteCount == 4, sequence.count == 8 else { throw .invalidArgument }
        let isSending: CInt = direction == .sending ? 1 : 0
        let result = unsafe key.withUnsafeBytes { key in
            unsafe salt.withUnsafeBytes { salt in
                // Sound: the shim reads as many bytes as there are.
                unsafe clinux_tls_set_keys(
                    rawValue, isSending, key.baseAddress, key.count, salt.baseAddress, sequence)
            }
        }
        try checked(result)
    }

    /// Tells the peer that there is no more to come, without waiting. RFC 5246, section 7.2.1
    public func sendCloseNotify() {
        // Who does not take it learns of the end from the socket.
        _ = clinux_tls_close_notify(rawValue)
    }

    /// Takes the next record away, on a socket whose TLS the kernel does and that answered EIO: it is
    /// not one of data. Nil when there is none. `TLS_GET_RECORD_TYPE`
    public func receiveNonDataRecord() -> NonDataRecord? {
        var start: [UInt8] = [0, 0]
        let type = unsafe clinux_tls_other_record(rawValue, &start)
        guard type >= 0 else { return nil }
        return NonDataRecord(type: UInt8(truncatingIfNeeded: type), start: (start[0], start[1]))
    }
}
