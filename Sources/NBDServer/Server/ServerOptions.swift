// What a server can be told, each with its reason.

/// Limits and habits of a server.
public struct ServerOptions: Sendable {
    /// Connections at a time; more are closed at once. Each costs a thread and about 300 KiB.
    public var maximumConnections = 128
    /// Milliseconds within which a client has to be done with the handshake. A client needs a few
    /// round trips; one that is silent must not hold its place for ever.
    public var handshakeMilliseconds = 10_000
    /// Microseconds that a connection's thread may look for the next request before it sleeps; 0
    /// turns it off. See ``ServerOptions/init()``.
    public var pollMicroseconds = 50
    /// Milliseconds that a client has to take its last replies when the server is stopped.
    public var stopMilliseconds = 2_000

    /// The defaults.
    public init() {}
}
