// `ramdisk-nbd stats`: a running server's figures, once or again and again.

internal import ProgramSupport
internal import ObservabilityClient
internal import KernelDisks
internal import Observability
internal import ArgumentParser
internal import FoundationEssentials
internal import LinuxHost
internal import LinuxIO

struct StatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Print a running server's figures since its start.",
        usage: "ramdisk-nbd stats [<options>]",
        discussion: """
            Latency is service time, from the receive that brought a request to the end of the send that \
            took its reply. DEPTH is how many requests were answered together on average. All figures count \
            from the server's start; `ramdisk-nbd top` has those of the moment.

            EXAMPLES
              The one server that is running:
                ramdisk-nbd stats

              As JSON, for a program:
                ramdisk-nbd stats --json | jq '.server.activity.commands'

              Every five seconds, of the server with that process number:
                ramdisk-nbd stats --watch --interval 5s --control 4711
            """)

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    @Flag(name: .long, help: "Print JSON, one line, as GET /stats answers it.")
    var json = false

    @Flag(name: .long, help: "Print again after each interval, until Ctrl-C or the server's end.")
    var watch = false

    @Option(
        name: .long, help: ArgumentHelp("Time between two looks: 500ms, 5s.", valueName: "time"))
    var interval = TimeSpan(seconds: 1)

    func validate() throws {
        try interval.checkInterval()
    }

    func run() throws {
        let client = try server.client()
        while true {
            let stats = try client.get("/stats", as: Stats.self)
            let isRead = StandardOutput.print(
                json
                    ? try line(stats)
                    : StatsText(
                        stats, device: RuntimeDirectory.device(of: stats.server.pid),
                        width: Terminal.outputWidth
                    ).text)
            guard watch, isRead else { return }
            Thread.sleep(milliseconds: interval.milliseconds)
            if !json { standardOutput("\n") }
        }
    }

    private func line(_ stats: Stats) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(stats), as: UTF8.self) + "\n"
    }
}
