// The load generator: `nbd-load`.
//
// It measures NBD servers, so it has to cost as little as it can itself: requests are built and sent
// in batches, replies received as many as there are, and nothing allocates while it runs.

internal import ArgumentParser

@main
struct NBDLoad: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nbd-load",
        abstract: "Puts load on an NBD server, and tells how it coped.",
        discussion: """
            EXAMPLES
              Random reads of 4 KiB, 128 in flight, for five seconds:
                nbd-load nbd://localhost

              One write at a time, with its latency:
                nbd-load --workload write --depth 1 "nbd+unix:///?socket=/run/ramdisk.sock"

              Is what was written what is read?
                nbd-load --workload mixed --verify nbd://localhost

            `nbd-load help run` has the options of a load.
            """,
        subcommands: [Run.self, List.self, Idle.self, Stream.self, StreamServer.self],
        defaultSubcommand: Run.self)
}
