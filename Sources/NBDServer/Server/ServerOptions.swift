/// Limits and habits of a server.
public struct ServerOptions: Sendable {
    /// Who may connect.
    public var admission = AdmissionPolicy()
    /// Encryption; nil for none.
    public var tls: TLSContext?
    /// Connections that are served at a time; more are closed at once. Each costs a thread and about
    /// 300 KiB.
    public var maximumConnections = 128
    /// Connections at a time from one ``LinuxIO/Peer/Source``, in the handshake or after it; more are
    /// closed at once. Nil sets no limit.
    public var maximumConnectionsPerSource: Int?
    /// Connections in the handshake at a time, beside those that are served. One that comes when there
    /// are so many takes the place of the oldest from where most come from, so that a crowd of
    /// silent clients keeps nobody out.
    public var maximumHandshakes = 256
    /// Milliseconds within which a client has to be done with the handshake. A client needs a few
    /// round trips; one that is silent must not hold its place for ever.
    public var handshakeMilliseconds = 10_000
    /// Milliseconds for which a client may let a message or a reply stand half transferred: it sends no
    /// more of one, or takes no more of the other. 0 waits for ever. Who is silent between two
    /// messages may be so for as long as it likes.
    public var stallMilliseconds = 0
    /// Microseconds that a connection's thread may look for the next request before it sleeps; 0
    /// turns it off. See ``ServerOptions/init()``.
    public var pollMicroseconds = 50
    /// Numbers of processors that connections' threads are bound to, each to the next in turn; empty
    /// leaves that to the scheduler.
    public var processors: [Int] = []
    /// Milliseconds that a client has to take its last replies when the server is stopped.
    public var stopMilliseconds = 2_000

    /// Whether the threads of connections that are served get real-time priority, and with it a part of the memory that the
    /// kernel keeps back from others; for disks that the machine swaps to. It may be refused, which is no
    /// reason to serve nobody.
    public var usesMemoryReserve = false

    /// Whether requests are counted and timed, and can be traced. It costs a look at the clock for each
    /// receive and send, and some stores for each request.
    public var isCounting = true

    /// The defaults.
    public init() {}

    /// The processor for a connection; nil for any. Connections are numbered from 1.
    func processor(for connection: UInt64) -> Int? {
        processors.isEmpty ? nil : processors[Int((connection - 1) % UInt64(processors.count))]
    }
}
