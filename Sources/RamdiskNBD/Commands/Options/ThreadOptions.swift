internal import ArgumentParser
internal import ProgramSupport
internal import NBDServer

/// How the threads that serve use CPUs.
struct ThreadOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Longest time for which a connection busy-polls for the next request before it sleeps, up \
            to 1ms; 0 turns busy-polling off. The time adapts: an idle server uses no CPU time. \
            (default: 50us)
            """, valueName: "time"),
        transform: Duration.init(parsing:))
    var busyPoll = Duration.microseconds(50)

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            CPUs to run on, such as 0,2-3. Each connection is bound to the next CPU in turn, and the \
            server allocates the disks' memory there. (default: any CPU)
            """, valueName: "list"))
    var cpuList: ProcessorList?

    func validate() throws {
        try check("--busy-poll", busyPoll, in: .zero ... .milliseconds(1))
    }

    /// Sets the engine's options.
    func apply(to options: inout ServerOptions) {
        options.busyPolling = busyPoll
        options.processors = cpuList?.numbers ?? []
    }
}
