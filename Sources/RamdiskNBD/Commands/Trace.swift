internal import ProgramSupport
internal import Observability
internal import ObservabilityClient
internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import LinuxHost

/// `ramdisk-nbd trace`.
struct Trace: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the requests of a running server as they happen.",
        usage: "ramdisk-nbd trace [<options>]",
        discussion: """
            Prints one line for each finished request: seconds since the start of the trace, \
            connection, command, offset and length in bytes, latency (from the receive that brought \
            the request to the end of the send that took its reply), flags, error. Ends with Ctrl-C, \
            after --count requests or after --duration. When requests come faster than they can be \
            printed, some are dropped and counted; clients never wait.

            EXAMPLES
              All requests, or only writes that took at least 100 microseconds:
                ramdisk-nbd trace
                ramdisk-nbd trace --command write --min-latency 100us

              The first MiB of the disk "vm":
                ramdisk-nbd trace --export vm --offset 0-1M

              A summary of ten seconds: offsets, sizes, latencies:
                ramdisk-nbd trace --summary --duration 10s

              A recording, replayed with fio on another disk:
                ramdisk-nbd trace -o work.iolog
                fio --name=again --read_iolog=work.iolog --replay_redirect=/dev/nbd1

              A timeline for ui.perfetto.dev:
                ramdisk-nbd trace -o work.json --duration 1s
            """)

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    @OptionGroup(title: "Filters")
    var filter: TraceFilterOptions

    @OptionGroup(title: "Output")
    var output: TraceOutputOptions

    func run() throws {
        let signals = SignalWaiter([SIGINT, SIGTERM])
        let client = try server.client()
        let plan = try plan(client)
        if filter.export != nil || filter.connection != nil,
            let problem = filter.filter.problem(with: try client.get("/stats", as: Stats.self))
        {
            throw Failure.unavailable(problem)
        }
        let stream = try client.open(filter.filter.target)
        try stream.stop(on: signals, after: output.duration)
        try TraceSession(plan).run(stream)
    }

    private func plan(_ client: ControlClient) throws -> TraceConfiguration {
        let disks: [DiskStats]? =
            output.summary
            ? try client.get("/disks", as: [DiskStats].self) : nil
        let isTerminal = try? OutputFile(standardOutput: ()).isTerminal
        let environment = ProcessInfo.processInfo.environment
        return TraceConfiguration(
            path: output.path, format: output.fileFormat, summary: disks,
            isColoured: wantsColour(isTerminal: isTerminal ?? false, environment: environment),
            width: Terminal.size.columns)
    }
}
