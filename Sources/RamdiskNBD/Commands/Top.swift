// `ramdisk-nbd top`: a running server, live.

internal import ObservabilityClient
internal import ProgramSupport
internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch a running server: throughput, requests, depth, latency, who does what.",
        usage: "ramdisk-nbd top [<options>]",
        discussion: """
            Every figure is of the last interval. DEPTH is how many requests were answered together \
            on average. Latency is service time, from the receive that brought a request to the end of the \
            send that took its reply; a column such as "99 %" is the time that so many requests did not exceed.

            KEYS
              s  sort connections by requests, bytes, latency or number
              d  look at one disk after the other, or at all
              u  KiB or kB
              p  pause, and go on
              q  quit; so does Ctrl-C

            Where there is no terminal, or a dumb one, it prints a line for each interval.

            EXAMPLES
              The one server that is running, or another:
                ramdisk-nbd top
                ramdisk-nbd top --control /run/ramdisk-nbd/4711.control

              One picture of five seconds, as text:
                ramdisk-nbd top --once --interval 5s

              A log of what it does:
                ramdisk-nbd top --interval 10s > work.log
            """)

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    @Option(
        name: .long,
        help: ArgumentHelp("Time between two looks: 500ms, 5s; at least 100ms.", valueName: "time"))
    var interval = TimeSpan(seconds: 1)

    @Flag(name: .long, help: "Print one picture of one interval, and end.")
    var once = false

    @Flag(name: .long, help: "kB and MB, powers of 1000, rather than KiB and MiB.")
    var decimal = false

    func validate() throws {
        try interval.checkInterval()
    }

    func run() throws {
        let output = try? OutputFile(standardOutput: ()).isTerminal
        let environment = ProcessInfo.processInfo.environment
        // One that calls itself dumb knows no codes: it gets lines.
        let isTerminal = Terminal.isPresent && environment["TERM"] != "dumb"
        let plan = TopConfiguration(
            client: try server.client(),
            intervalMilliseconds: interval.milliseconds, isDecimal: decimal,
            isColoured: wantsColour(isTerminal: output ?? false, environment: environment))
        let heard = TopSignals()
        do throws(Errno) {
            try SignalWaiter([SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT]).handle { received in
                if received == SIGWINCH || received == SIGCONT {
                    heard.change()
                } else {
                    heard.stop()
                }
            }
        } catch {
            throw Failure.system("cannot start a thread: \(error)")
        }
        var session = TopSession(plan, signals: heard)
        if once {
            try session.printOnce()
        } else if isTerminal {
            try session.show()
        } else {
            try session.printLines()
        }
    }
}
