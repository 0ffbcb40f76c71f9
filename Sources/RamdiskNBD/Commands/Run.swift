internal import ServerHost
internal import ProgramSupport
internal import ArgumentParser
internal import NBDServer
internal import Logging

/// `ramdisk-nbd run -- COMMAND`.
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a command with a temporary RAM disk.",
        discussion: """
            Serves the disk on a Unix socket that only this user can reach, runs the command, and exits \
            with its status when it ends (128 plus the signal if a signal killed it; 127 if it was not \
            found). The command finds the URI of the disk in $NBD_URI and $uri, and the path of the \
            socket in $unixsocket. SIGINT, SIGTERM, SIGHUP and SIGQUIT are forwarded to it. Processes \
            that it leaves in the background lose the disk.

            EXAMPLES
              ramdisk-nbd run -- sh -c 'nbdinfo "$uri"'
              ramdisk-nbd run --size 1G -- sh -c 'nbdcopy disk.img "$uri" && fio job.fio'
              ramdisk-nbd run --load disk.img --read-only -- sh -c 'qemu-img info "$uri"'
            """)

    @OptionGroup(title: "Disks")
    var disks: ExportOptions

    @OptionGroup(title: "Connections")
    var connections: ConnectionOptions

    @OptionGroup(title: "Confinement")
    var sandbox: SandboxOptions

    @OptionGroup(title: "Observability")
    var observability: ObservabilityOptions

    // Less than `serve` logs, as the command has the same standard error.
    @Option(
        name: .long,
        help: ArgumentHelp("Lowest level to log on standard error.", valueName: "level"))
    var logLevel = Logger.Level.warning

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp(
            "The command and its arguments, after --.", valueName: "command"))
    var command: [String]

    func validate() throws {
        try require(command.first?.isEmpty == false, "The command is missing: give it after --.")
    }

    func run() throws {
        let log = LogOptions.logger(logLevel)
        let command = CommandRun(command)
        var options = connections.serverOptions()
        options.isCounting = !observability.noStats
        let directory = try PrivateDirectory()
        let service = try DiskService(
            configuration: DiskService.Configuration(
                disks: disks.plans, addresses: ListenConfiguration(unix: [directory.socketPath]),
                options: options, control: observability.plan, purpose: .command(command),
                sandbox: sandbox.mode),
            logger: log)
        service.removeLater(directory)
        try service.runObeyingSignals()
        throw ExitCode(command.exitCode)
    }
}
