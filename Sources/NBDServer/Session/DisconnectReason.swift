public import NBDProtocol
public import SystemPackage

/// Why a connection ended.
public enum DisconnectReason: Error, Sendable, Hashable {
    /// The client said that it is done, as it should.
    case disconnected
    /// The client closed without saying so, between two messages.
    case closed
    /// The client closed in the middle of a message.
    case closedInMessage
    /// The socket broke.
    case failed(Errno)
    /// The client broke the rules of the handshake.
    case handshake(ServerNegotiation.ProtocolError)
    /// TLS could not be started, or was broken later.
    case tls(TLSFailure)
    /// The client left when it was told that nothing is served without TLS.
    case tlsRequired
    /// The handshake was not over within its deadline.
    case handshakeTimeout
    /// It was closed in the handshake, because others came and too many were in it.
    case evicted
    /// It chose an export when there was no place for one more, in a way that cannot be told no.
    case noPlace
    /// The client stopped in the middle of a message, or took no more of a reply.
    case stalled
    /// A request did not begin with its magic number.
    case requestMagic
    /// A WRITE with a payload that is too long even to be thrown away, in bytes.
    case payloadTooLong(UInt64)
    /// The server was stopped.
    case stopped

    /// Whether the client did something that the protocol forbids.
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
        case .failed(let error): "the connection broke: \(error)"
        case .handshake(let violation): "\(violation)"
        case .tls(let failure): "\(failure)"
        case .tlsRequired: "the client did not start TLS, which this server requires"
        case .handshakeTimeout: "the handshake took too long"
        case .evicted: "the handshake was not done when its place was wanted"
        case .noPlace: "all places are taken"
        case .stalled: "the client stopped in the middle of a message, or takes no replies"
        case .requestMagic: "a request does not begin with its magic number"
        case .payloadTooLong(let length): "a write claims a payload of \(length) bytes"
        case .stopped: "the server was stopped"
        }
    }
}
