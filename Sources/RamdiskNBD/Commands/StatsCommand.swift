internal import ObservabilityClient
internal import KernelDisks
internal import ProgramSupport
internal import ArgumentParser

/// `ramdisk-nbd stats`.
struct StatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Print the statistics of a running server since its start.",
        usage: "ramdisk-nbd stats [<options>]",
        discussion: """
            Latency is service time: from the receive that brought a request to the end of the send \
            that took its reply. DEPTH is the average number of requests served together. All values \
            count from the start of the server; `ramdisk-nbd top` shows current ones.

            EXAMPLES
              The only running server:
                ramdisk-nbd stats

              JSON for a program:
                ramdisk-nbd stats --json | jq '.server.activity.commands'

              Every five seconds, for the server with this pid:
                ramdisk-nbd stats --watch --interval 5s --control 4711
            """)

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    @Flag(name: .long, help: "Print one line of JSON, as GET /stats returns it.")
    var json = false

    @Flag(
        name: .long, help: "Print again after each interval, until Ctrl-C or the end of the server."
    )
    var watch = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Time between two samples, at least 100ms. (default: 1s)", valueName: "time"),
        transform: Duration.init(parsing:))
    var interval = Duration.seconds(1)

    func validate() throws {
        try checkInterval(interval)
    }

    func run() throws {
        let session = StatsSession(
            client: try server.client(), isJSON: json, device: RuntimeDirectory.device(of:))
        try session.run(interval: watch ? interval : nil)
    }
}
