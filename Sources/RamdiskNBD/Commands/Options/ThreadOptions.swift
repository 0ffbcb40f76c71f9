// How the threads that serve use processors.

internal import ArgumentParser
internal import NBDServer

struct ThreadOptions: ParsableArguments {
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
        guard (0...1_000).contains(pollUs) else {
            throw ValidationError("--poll-us is \(pollUs), but has to be from 0 to 1000.")
        }
    }

    /// Tells the engine.
    func apply(to options: inout ServerOptions) {
        options.busyPolling = .microseconds(pollUs)
        options.processors = cpuList?.numbers ?? []
    }
}
