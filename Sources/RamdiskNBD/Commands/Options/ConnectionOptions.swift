// What connections may do, and how they are served.

internal import ArgumentParser
internal import NBDServer

struct ConnectionOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Most connections that are served at a time, 1 to 10000.", valueName: "count"))
    var maxConnections = 128

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Most connections at a time from one IPv4 address, from one IPv6 network of 64 bits, or \
            by one user of this machine on Unix sockets. (default: no limit)
            """, valueName: "count"))
    var maxConnectionsPerAddress: Int?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Most clients that have not chosen their disk yet, beside those that are served, 1 to \
            10000. When one more comes, one of those from where most come has to go. (default: \
            \(Self.standardHandshakes); with --protect \(Self.protectedHandshakes))
            """, valueName: "count"))
    var maxHandshakes: Int?

    private static let standardHandshakes = 256
    /// Each has a stack and buffers, which --protect keeps in memory, and has shown nothing yet.
    private static let protectedHandshakes = 32

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Seconds within which a client has to choose its disk, 0.1 to 3600.",
            valueName: "seconds"))
    var handshakeTimeout = Seconds(10)

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Cut a client off when it has stopped for so many seconds in the middle of a request, or \
            taken nothing of its replies; up to 86400, 0 never does. A client between two requests \
            may be silent for ever.
            """, valueName: "seconds"))
    var stallTimeout = Seconds(0)

    @OptionGroup
    var threads: ThreadOptions

    func validate() throws {
        guard (1...10_000).contains(maxConnections) else {
            throw ValidationError(
                "--max-connections is \(maxConnections), but has to be from 1 to 10000.")
        }
        guard (1...10_000).contains(maxHandshakes ?? 1) else {
            throw ValidationError(
                "--max-handshakes is \(maxHandshakes ?? 0), but has to be from 1 to 10000.")
        }
        if let count = maxConnectionsPerAddress, !(1...10_000).contains(count) {
            throw ValidationError(
                "--max-connections-per-address is \(count), but has to be from 1 to 10000.")
        }
        guard (100...3_600_000).contains(handshakeTimeout.milliseconds) else {
            throw ValidationError(
                "--handshake-timeout is \(handshakeTimeout), but has to be from 0.1 to 3600.")
        }
        guard stallTimeout.milliseconds <= 86_400_000 else {
            throw ValidationError(
                "--stall-timeout is \(stallTimeout), but has to be from 0 to 86400.")
        }
    }

    /// The same for the engine.
    func serverOptions(isProtected: Bool = false) -> ServerOptions {
        var options = ServerOptions()
        options.maximumConnections = maxConnections
        options.maximumConnectionsPerSource = maxConnectionsPerAddress
        options.maximumHandshakes =
            maxHandshakes ?? (isProtected ? Self.protectedHandshakes : Self.standardHandshakes)
        options.handshakeTimeout = .milliseconds(handshakeTimeout.milliseconds)
        options.stallTimeout =
            stallTimeout.milliseconds == 0 ? nil : .milliseconds(stallTimeout.milliseconds)
        threads.apply(to: &options)
        return options
    }
}
