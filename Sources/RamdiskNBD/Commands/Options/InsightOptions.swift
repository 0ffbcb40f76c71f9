// How a server can be asked about itself.

internal import ProgramSupport
internal import Observability
internal import ArgumentParser

struct InsightOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Path of the control socket, where figures and traces are asked for (see `ramdisk-nbd stats`, \
            `top`, `trace`). Its mode is 0600. (default: PID.control in $RUNTIME_DIRECTORY of a systemd \
            unit; else for root in /run/ramdisk-nbd, for others in $XDG_RUNTIME_DIR/ramdisk-nbd or \
            /tmp/ramdisk-nbd-UID)
            """, valueName: "path"),
        completion: .file(), transform: UnixPath.init(parsing:))
    var control: UnixPath?

    @Flag(name: .long, help: "Have no control socket.")
    var noControl = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Serve /metrics (for Prometheus) and /healthz over HTTP here: HOST:PORT.",
            valueName: "host:port"))
    var metricsListen: [ListenAddress] = []

    @Flag(name: .long, help: "Do not count, time or trace requests.")
    var noStats = false

    func validate() throws {
        guard control == nil || !noControl else {
            throw ValidationError("--control and --no-control cannot both be given.")
        }
    }

    /// The option with a path once more, for a process that runs in another directory.
    var pathArguments: [String] { control.map { ["--control", $0.path] } ?? [] }

    /// What is asked for.
    var plan: ControlConfiguration {
        ControlConfiguration(
            socket: noControl ? .none : control.map { .at($0.path) } ?? .standard,
            metrics: metricsListen)
    }
}
