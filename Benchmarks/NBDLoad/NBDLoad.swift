internal import ArgumentParser

/// The load generator `nbd-load`.
///
/// It measures NBD servers, so its own cost must be small: it builds and sends requests in batches, receives as
/// many replies per call as have arrived, and allocates nothing while it runs.
@main
struct NBDLoad: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nbd-load",
        abstract: "Puts load on an NBD server, and reports how it performs.",
        discussion: """
            EXAMPLES
              Random reads of 4 KiB, 128 in flight, for five seconds:
                nbd-load nbd://localhost

              One write at a time, with its latency:
                nbd-load --workload write --depth 1 "nbd+unix:///?socket=/run/ramdisk.sock"

              Check that every block reads as it was written:
                nbd-load --workload mixed --verify nbd://localhost

            See `nbd-load help run` for the options of a load.
            """,
        subcommands: [
            Run.self, List.self, Idle.self, Connect.self, Stream.self, StreamServer.self,
        ],
        defaultSubcommand: Run.self)
}
