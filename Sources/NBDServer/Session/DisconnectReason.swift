public import NBDProtocol
public import SystemPackage

/// The reason why a connection ended. Reasons may be added: give a `switch` a `default`.
#if hasAttribute(nonexhaustive)
    @nonexhaustive
#endif
public enum DisconnectReason: Error, Sendable, Hashable {
    /// The client sent a disconnect request, as it should.
    case disconnected
    /// The client closed the connection between two messages, without a disconnect request.
    case closed
    /// The client closed the connection in the middle of a message.
    case closedInMessage
    /// The socket failed.
    case failed(Errno)
    /// The client broke the rules of the handshake.
    case handshake(ServerNegotiation.ProtocolError)
    /// TLS could not be started, or failed later.
    case tls(TLSFailure)
    /// The client disconnected when the server told it that it requires TLS.
    case tlsRequired
    /// The handshake was not done within ``ServerOptions/handshakeTimeout``.
    case handshakeTimeout
    /// The server closed it in the handshake, to make room for another client.
    case evicted
    /// The client chose an export when all slots were taken, with an option that has no error reply.
    case noPlace
    /// The client stalled in the middle of a message, or stopped reading replies, for longer than
    /// ``ServerOptions/stallTimeout``.
    case stalled
    /// A request did not start with its magic number.
    case requestMagic
    /// A WRITE announced a payload that is too long to be drained, in bytes.
    case payloadTooLong(UInt64)
    /// The server was stopped.
    case stopped

    /// Whether the client violated the protocol.
    public var isViolation: Bool {
        switch self {
        case .handshake, .tls, .requestMagic, .payloadTooLong: true
        default: false
        }
    }
}

extension DisconnectReason: CustomStringConvertible {
    /// A clause for the log.
    public var description: String {
        switch self {
        case .disconnected: "the client disconnected"
        case .closed: "the client closed the connection"
        case .closedInMessage: "the client closed the connection in the middle of a message"
        case .failed(let error): "the connection failed: \(error)"
        case .handshake(let violation): "\(violation)"
        case .tls(let failure): "\(failure)"
        case .tlsRequired: "the client did not start TLS, which this server requires"
        case .handshakeTimeout: "the handshake took too long"
        case .evicted: "it was evicted in the handshake to make room for another client"
        case .noPlace: "all connection slots are taken"
        case .stalled: "the client stalled in the middle of a message, or stopped reading replies"
        case .requestMagic: "a request does not start with its magic number"
        case .payloadTooLong(let length):
            "a write announced a payload of \(length) bytes, which is too long"
        case .stopped: "the server was stopped"
        }
    }
}

// MARK: - TLS

extension DisconnectReason {
    /// The time in milliseconds that a client has to receive close_notify.
    private static var closeNotifyTimeout: Int { 500 }

    /// Sends close_notify (specification: "Terminating the transmission phase"), unless the client no longer
    /// receives anything. Returns this reason, or a more exact one if TLS was at fault.
    consuming func closing(_ stream: TLSStream) -> DisconnectReason {
        switch self {
        case .tls, .stalled, .handshakeTimeout: return self
        case .failed(let error):
            switch stream.end(after: error) {
            case .closed:
                stream.close(milliseconds: Self.closeNotifyTimeout)
                return .closed
            case .broken(let failure): return .tls(failure)
            case .failed: return self
            }
        default:
            stream.close(milliseconds: Self.closeNotifyTimeout)
            return self
        }
    }
}
