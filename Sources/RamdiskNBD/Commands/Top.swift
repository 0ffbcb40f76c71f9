internal import ObservabilityClient
internal import ProgramSupport
internal import ArgumentParser
internal import FoundationEssentials
internal import LinuxHost
internal import LinuxIO

/// `ramdisk-nbd top`.
struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch a running server: throughput, requests, depth, latency, connections.",
        usage: "ramdisk-nbd top [<options>]",
        discussion: """
            All values are for the last interval. DEPTH is the average number of requests served \
            together. Latency is service time: from the receive that brought a request to the end of \
            the send that took its reply. A column such as "99 %" is a percentile: that share of the \
            requests took at most this time.

            KEYS
              s  sort connections by requests, bytes, latency or id
              d  show the next disk, or all disks
              u  switch between KiB and kB
              p  pause or continue
              q  quit, as does Ctrl-C

            Without a terminal, or on a dumb one, it prints a line per interval.

            EXAMPLES
              The only running server, or a certain one:
                ramdisk-nbd top
                ramdisk-nbd top --control /run/ramdisk-nbd/4711.control

              One screen that covers five seconds, as text:
                ramdisk-nbd top --once --interval 5s

              A log:
                ramdisk-nbd top --interval 10s > work.log
            """)

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Time between two samples, at least 100ms. (default: 1s)", valueName: "time"),
        transform: Duration.init(parsing:))
    var interval = Duration.seconds(1)

    @Flag(name: .long, help: "Print one screen for one interval, and end.")
    var once = false

    @Flag(name: .long, help: "Use kB and MB (powers of 1000) instead of KiB and MiB.")
    var decimal = false

    func validate() throws {
        try checkInterval(interval)
    }

    func run() throws {
        let output = try? OutputFile(standardOutput: ()).isTerminal
        let environment = ProcessInfo.processInfo.environment
        // A dumb terminal understands no control codes, so it gets lines.
        let isTerminal = Terminal.isPresent && environment["TERM"] != "dumb"
        let plan = TopConfiguration(
            client: try server.client(),
            intervalMilliseconds: interval.wholeMilliseconds, isDecimal: decimal,
            isColoured: wantsColour(isTerminal: output ?? false, environment: environment))
        var session = TopSession(plan, signals: try TopSignals.received())
        if once {
            try session.printOnce()
        } else if isTerminal {
            try session.show()
        } else {
            try session.printLines()
        }
    }
}
