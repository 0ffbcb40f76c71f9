internal import ProgramSupport
internal import Observability
internal import ArgumentParser

/// The control socket, metrics and statistics of a server.
struct ObservabilityOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Path of the control socket, which serves statistics and traces (see `ramdisk-nbd \
            stats`, `top`, `trace`). Its mode is 0600. (default: PID.control in the \
            $RUNTIME_DIRECTORY of a systemd unit; else for root in /run/ramdisk-nbd, for other users \
            in $XDG_RUNTIME_DIR/ramdisk-nbd or /tmp/ramdisk-nbd-UID)
            """, valueName: "path"),
        completion: .file(), transform: UnixPath.init(parsing:))
    var control: UnixPath?

    @Flag(name: .long, help: "Open no control socket.")
    var noControl = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Serve /metrics (for Prometheus) and /healthz over HTTP at this address. Repeatable.",
            valueName: "host:port"))
    var metricsListen: [ListenAddress] = []

    @Flag(name: .long, help: "Do not count, time or trace requests.")
    var noStats = false

    func validate() throws {
        try exclude("--control", control != nil, "--no-control", noControl)
    }

    /// The path option with an absolute path, for a process that runs in another directory.
    var pathArguments: [String] { control.map { ["--control", $0.path] } ?? [] }

    /// The configuration.
    var plan: ControlConfiguration {
        ControlConfiguration(
            socket: noControl ? .none : control.map { .at($0.path) } ?? .standard,
            metrics: metricsListen)
    }
}
