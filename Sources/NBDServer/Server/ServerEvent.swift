package import LinuxIO
public import SystemPackage

/// Something that happened to a connection. The server's threads report events as they happen, and none
/// for a single request. Kinds and properties may be added: give a `switch` a `default`.
#if hasAttribute(nonexhaustive)
    @nonexhaustive
#endif
public enum ServerEvent: Sendable {
    /// A client connected.
    case connected(Connected)
    /// A client was rejected: before a byte was read from it, or when it chose an export.
    case rejected(Rejected)
    /// A client has chosen an export and is being served.
    case serving(Serving)
    /// A connection has ended.
    case ended(Ended)
    /// A client could not be accepted, for want of descriptors, memory or threads.
    case acceptFailed(Errno)

    /// A new connection.
    public struct Connected: Sendable {
        /// The connection's id, counted from 1.
        public let connection: UInt64
        /// The client; nil when the connection was passed to the server by ``Server/serve(_:)``.
        public let client: ClientAddress?
    }

    /// A connection that is not served.
    public struct Rejected: Sendable {
        /// The reason of the rejection.
        public let reason: RejectionReason
        /// The client; nil when the connection was passed to the server.
        public let client: ClientAddress?
    }

    /// A connection that is being served.
    public struct Serving: Sendable {
        /// The connection's id.
        public let connection: UInt64
        /// The name of the export that the client has chosen.
        public let export: String
        /// The client; nil when the connection was passed to the server.
        public let client: ClientAddress?
        /// The encryption of the connection; nil when there is none.
        public let tls: TLSSummary?
    }

    /// A connection that has ended.
    public struct Ended: Sendable {
        /// The connection's id.
        public let connection: UInt64
        /// The reason why it ended.
        public let reason: DisconnectReason
        /// Its counters.
        public let statistics: ConnectionStatistics
    }
}

/// The reason why a client was rejected.
#if hasAttribute(nonexhaustive)
    @nonexhaustive
#endif
public enum RejectionReason: Sendable, Hashable {
    /// ``ServerOptions/admission`` does not permit it.
    case notAdmitted
    /// As many connections are being served as ``ServerOptions/maximumConnections`` allows, which is the
    /// payload. When the last slot is taken during a client's handshake, the server tells the client so where
    /// the protocol can.
    case connectionLimit(Int)
    /// As many connections come from its source as ``ServerOptions/maximumConnectionsPerSource`` allows, which
    /// is the payload.
    case sourceLimit(Int)
}

/// The other end of a connection, as the kernel knows it: a host and port, or a process on this machine.
public struct ClientAddress: Sendable, Hashable, CustomStringConvertible {
    package let peer: Peer

    package init(_ peer: Peer) { self.peer = peer }

    /// The client's numeric IP address; nil for a Unix socket.
    public var host: String? {
        if case .host(let address) = peer { address.ip.map { "\($0)" } } else { nil }
    }

    /// The client's port; nil for a Unix socket.
    public var port: UInt16? {
        if case .host(let address) = peer { address.port } else { nil }
    }

    /// The user of the client's process, as it was when it connected; nil for TCP.
    public var userID: UInt32? {
        if case .process(let credentials) = peer { credentials.uid } else { nil }
    }

    /// The groups of the client's process; empty for TCP.
    public var groupIDs: Set<UInt32> {
        if case .process(let credentials) = peer { credentials.gids } else { [] }
    }

    /// The client's process; nil for TCP, and 0 for a process in another namespace.
    public var processID: Int32? {
        if case .process(let credentials) = peer { credentials.pid } else { nil }
    }

    /// `192.0.2.1:4000`, or `user 1000 (process 4711)`.
    public var description: String { "\(peer)" }
}
