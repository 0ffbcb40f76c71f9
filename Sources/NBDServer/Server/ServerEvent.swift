// What a server tells whoever runs it.

public import SystemPackage

/// Something that happened to a connection. Told from the server's threads, never for a request.
public enum ServerEvent: Sendable {
    /// A client connected; connections are numbered from 1.
    case connected(UInt64)
    /// A client was turned away, because there are this many connections already.
    case refused(limit: Int)
    /// A client has chosen an export of this name.
    case serving(UInt64, export: String)
    /// A connection has ended.
    case ended(UInt64, SessionEnd)
    /// A client could not be taken in, for want of descriptors, memory or threads.
    case acceptFailed(Errno)
}
