public import LinuxIO
public import SystemPackage

/// Something that happened to a connection. Told from the server's threads, never for a request.
public enum ServerEvent: Sendable {
    /// A client connected; connections are numbered from 1. Who was handed over has no peer.
    case connected(UInt64, peer: Peer?)
    /// A client was turned away: before a byte was read from it, or when it chose an export.
    case refused(RejectionReason, peer: Peer?)
    /// A client has chosen an export of this name; a plain connection has no TLS.
    case serving(UInt64, export: String, peer: Peer?, tls: TLSSummary?)
    /// A connection has ended, and this is what it did.
    case ended(UInt64, DisconnectReason, ConnectionStatistics)
    /// A client could not be taken in, for want of descriptors, memory or threads.
    case acceptFailed(Errno)
}
