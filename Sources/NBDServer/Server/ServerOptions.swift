/// Limits and behaviour of a server.
public struct ServerOptions: Sendable {
    /// The clients that may connect.
    public var admission = AdmissionPolicy()
    /// Encryption; nil for none.
    public var tls: TLSContext?
    /// The most connections that are served at a time; more are rejected. Each has a thread and, once it is
    /// served, about 900 KiB of address space, of which it uses what its requests need.
    public var maximumConnections = 128
    /// The most connections at a time from one source, in the handshake or after it; more are rejected. A
    /// source is an IPv4 address, the upper 64 bits of an IPv6 address, or a user of this machine. Nil sets no
    /// limit.
    public var maximumConnectionsPerSource: Int?
    /// The most connections in the handshake at a time, besides those that are served. Above it, the server
    /// evicts the oldest connection from the source that has most of them, so silent clients cannot keep
    /// others out.
    public var maximumHandshakes = 256
    /// The time limit of the handshake, which needs a few round trips.
    public var handshakeTimeout: Duration = .seconds(10)
    /// The time for which a client may leave a message or a reply half transferred: it sends no more of the one, or
    /// receives no more of the other. Nil sets no limit. A client may be silent between two messages for as long as it
    /// likes.
    public var stallTimeout: Duration?
    /// The longest time that a connection's thread busy-polls for the next request before it sleeps; zero turns
    /// busy-polling off. The time adapts to the client, and an idle connection does not poll.
    public var busyPolling: Duration = .microseconds(50)
    /// The processors that the threads of connections are bound to, each to the next one in turn; empty leaves
    /// that to the scheduler.
    public var processors: [Int] = []
    /// The time limit for clients to receive their last replies when the server stops.
    public var stopGracePeriod: Duration = .seconds(2)

    /// Whether the threads of connections that are served run in the real-time class, and so may use the part of
    /// the memory that the kernel reserves; for disks that the machine swaps to. The kernel may refuse it, and
    /// the server serves all the same.
    public var usesMemoryReserve = false

    /// Whether requests are counted and timed, and can be traced. It costs a clock reading for each receive and
    /// each send, and some stores to memory for each request.
    public var isCounting = true

    /// The defaults.
    public init() {}

    /// Throws for a value outside its range.
    func check() throws(ServerError) {
        let counts = [
            ("maximumConnections", maximumConnections), ("maximumHandshakes", maximumHandshakes),
            ("maximumConnectionsPerSource", maximumConnectionsPerSource ?? 1),
        ]
        for (name, value) in counts where value < 1 {
            throw ServerError(.invalidOption, "\(name) is \(value), but must be at least 1")
        }
        guard handshakeTimeout > .zero else {
            throw ServerError(
                .invalidOption,
                "handshakeTimeout is \(handshakeTimeout), but must be positive: no client would get through"
            )
        }
        if let stallTimeout, stallTimeout <= .zero {
            throw ServerError(
                .invalidOption,
                "stallTimeout is \(stallTimeout), but must be positive, or nil for no limit")
        }
        guard busyPolling >= .zero, stopGracePeriod >= .zero else {
            throw ServerError(
                .invalidOption, "busyPolling and stopGracePeriod must not be negative")
        }
    }

    /// The processor for a connection; nil for any. Connections are counted from 1.
    func processor(for connection: UInt64) -> Int? {
        processors.isEmpty ? nil : processors[Int((connection - 1) % UInt64(processors.count))]
    }
}
