internal import ArgumentParser
internal import ProgramSupport
internal import NBDServer

/// Limits for connections, and the threads that serve them.
struct ConnectionOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Maximum number of connections served at a time, 1 to 10000.", valueName: "count"))
    var maxConnections = 128

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Maximum number of connections at a time from one IPv4 address, one IPv6 /64 network, or \
            one local user on Unix sockets. (default: no limit)
            """, valueName: "count"))
    var maxConnectionsPerAddress: Int?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Maximum number of clients in the handshake, besides those that are served, 1 to 10000. \
            When another one connects, the server evicts one from the source that has most. \
            (default: \(Self.standardHandshakes); with --swap \(Self.protectedHandshakes))
            """, valueName: "count"))
    var maxHandshakes: Int?

    private static let standardHandshakes = 256
    /// Lower, as each unproven client has a stack and buffers, which --swap locks in memory.
    private static let protectedHandshakes = 32

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Time within which a client must finish the handshake, 100ms to 1h. (default: 10s)
            """, valueName: "time"),
        transform: Duration.init(parsing:))
    var handshakeTimeout = Duration.seconds(10)

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Close a connection when its client has stopped in the middle of a request for this time, \
            or has not read its replies. Up to 24h; 0 means never. A client may be idle between two \
            requests without limit. (default: 0)
            """, valueName: "time"),
        transform: Duration.init(parsing:))
    var stallTimeout = Duration.zero

    @OptionGroup
    var threads: ThreadOptions

    func validate() throws {
        let counts = 1...10_000
        try check("--max-connections", maxConnections, in: counts)
        try check("--max-handshakes", maxHandshakes, in: counts)
        try check("--max-connections-per-address", maxConnectionsPerAddress, in: counts)
        try check(
            "--handshake-timeout", handshakeTimeout, in: .milliseconds(100) ... .seconds(3_600))
        // The engine counts in milliseconds: a shorter time would be 0, which means never.
        if stallTimeout != .zero {
            try check("--stall-timeout", stallTimeout, in: .milliseconds(1) ... .seconds(86_400))
        }
    }

    /// The engine's options.
    func serverOptions(isProtected: Bool = false) -> ServerOptions {
        var options = ServerOptions()
        options.maximumConnections = maxConnections
        options.maximumConnectionsPerSource = maxConnectionsPerAddress
        options.maximumHandshakes =
            maxHandshakes ?? (isProtected ? Self.protectedHandshakes : Self.standardHandshakes)
        options.handshakeTimeout = handshakeTimeout
        options.stallTimeout = stallTimeout == .zero ? nil : stallTimeout
        threads.apply(to: &options)
        return options
    }
}
