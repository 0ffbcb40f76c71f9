// `ramdisk-nbd run -- COMMAND`: a disk for as long as a command runs.

internal import ServerHost
internal import ProgramSupport
internal import ArgumentParser
internal import NBDServer

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a command with a RAM disk of its own.",
        discussion: """
            Serves the disk on a Unix socket that only this user can reach, runs the command, and ends \
            when it does, with its exit status (128 and the signal's number if a signal ended it; 127 if \
            it was not found). The command finds the disk's URI in $NBD_URI and in $uri, and the socket's \
            path in $unixsocket. SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to it. What it leaves \
            running in the background loses the disk.

            EXAMPLES
              ramdisk-nbd run -- sh -c 'nbdinfo "$uri"'
              ramdisk-nbd run --size 1G -- sh -c 'nbdcopy disk.img "$uri" && fio job.fio'
              ramdisk-nbd run --load disk.img --read-only -- sh -c 'qemu-img info "$uri"'
            """)

    @OptionGroup(title: "Disks")
    var disks: ExportOptions

    @OptionGroup(title: "Connections")
    var connections: ConnectionOptions

    @OptionGroup(title: "Insight")
    var insight: InsightOptions

    // Less than a server tells: standard error is the command's as well.
    @Option(
        name: .long,
        help: ArgumentHelp("What to log on standard error.", valueName: "level"))
    var logLevel = LogLevel.warning

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp(
            "The command and its arguments, after two dashes.", valueName: "command"))
    var command: [String]

    func validate() throws {
        guard command.first?.isEmpty == false else {
            throw ValidationError("There is no command to run: give it after --.")
        }
    }

    func run() throws {
        let log = LogOptions.logger(logLevel)
        let command = CommandRun(command)
        var options = connections.serverOptions()
        options.isCounting = !insight.noStats
        let directory = try PrivateDirectory()
        let service = try DiskService(
            configuration: DiskService.Configuration(
                disks: disks.plans, addresses: ListenConfiguration(unix: [directory.socketPath]),
                options: options, control: insight.plan, purpose: .command(command)),
            logger: log)
        service.removeLater(directory)
        try service.runObeyingSignals()
        throw ExitCode(command.exitCode)
    }
}
