// What connections may do, and how they are served.

internal import ArgumentParser
internal import NBDServer

struct ConnectionOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Most connections at a time, 1 to 10000.", valueName: "count"))
    var maxConnections = 128

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Microseconds that a connection may look for the next request before it sleeps, 0 to \
            1000; 0 turns it off. It adapts: an idle server uses no processor time.
            """, valueName: "microseconds"))
    var pollUs = 50

    func validate() throws {
        guard (1...10_000).contains(maxConnections) else {
            throw ValidationError(
                "--max-connections is \(maxConnections), but has to be from 1 to 10000.")
        }
        guard (0...1_000).contains(pollUs) else {
            throw ValidationError("--poll-us is \(pollUs), but has to be from 0 to 1000.")
        }
    }

    /// The same for the engine.
    var serverOptions: ServerOptions {
        var options = ServerOptions()
        options.maximumConnections = maxConnections
        options.pollMicroseconds = pollUs
        return options
    }
}
