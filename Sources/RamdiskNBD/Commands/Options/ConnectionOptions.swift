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
            10000. When one more comes, one of those from where most come has to go.
            """, valueName: "count"))
    var maxHandshakes = 256

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

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Microseconds that a connection may look for the next request before it sleeps, 0 to \
            1000; 0 turns it off. It adapts: an idle server uses no processor time.
            """, valueName: "microseconds"))
    var pollUs = 50

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Processors to work on, such as 0,2-3: each connection is bound to the next one in turn, \
            and the disks' memory is taken there. (default: left to the scheduler)
            """, valueName: "list"))
    var cpuList: ProcessorList?

    func validate() throws {
        guard (1...10_000).contains(maxConnections) else {
            throw ValidationError(
                "--max-connections is \(maxConnections), but has to be from 1 to 10000.")
        }
        guard (1...10_000).contains(maxHandshakes) else {
            throw ValidationError(
                "--max-handshakes is \(maxHandshakes), but has to be from 1 to 10000.")
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
        guard (0...1_000).contains(pollUs) else {
            throw ValidationError("--poll-us is \(pollUs), but has to be from 0 to 1000.")
        }
    }

    /// The same for the engine.
    var serverOptions: ServerOptions {
        var options = ServerOptions()
        options.maximumConnections = maxConnections
        options.maximumConnectionsPerSource = maxConnectionsPerAddress
        options.maximumHandshakes = maxHandshakes
        options.handshakeMilliseconds = handshakeTimeout.milliseconds
        options.stallMilliseconds = stallTimeout.milliseconds
        options.pollMicroseconds = pollUs
        options.processors = cpuList?.numbers ?? []
        return options
    }
}
