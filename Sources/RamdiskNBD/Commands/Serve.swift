// `ramdisk-nbd serve`: memory as disks, until it is told to stop.

internal import ArgumentParser
internal import NBDServer

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve one or more RAM disks to NBD clients.",
        discussion: """
            Prints one NBD URI a line for each address when it is ready, and serves until SIGTERM or \
            SIGINT; a second one ends it at once. SIGUSR1 logs how much memory each disk takes up. \
            What is stored is gone when it ends.

            There is no authentication yet: whoever can reach the address can read and write. \
            By default that is this machine alone.

            EXAMPLES
              40 MiB on port 10809 of this machine, and the kernel's view of it:
                ramdisk-nbd serve
                nbd-client localhost /dev/nbd0

              2 GiB on a Unix socket, memory taken only as it is written:
                ramdisk-nbd serve --size 2G --sparse --unix /run/ramdisk.sock
                nbd-client -unix /run/ramdisk.sock /dev/nbd0

              Two disks, by name:
                ramdisk-nbd serve --export fast=1G --export scratch=200M
                nbd-client -N scratch localhost /dev/nbd1

              A file system's image in memory, for any number of readers:
                ramdisk-nbd serve --size 1G --load root.img --read-only

              Any free port, found out from the line that is printed:
                ramdisk-nbd serve --listen localhost:0
            """)

    @OptionGroup(title: "Disks")
    var disks: DiskOptions

    @OptionGroup(title: "Addresses")
    var addresses: ListenOptions

    @OptionGroup(title: "Connections")
    var connections: ConnectionOptions

    @OptionGroup(title: "Insight")
    var insight: InsightOptions

    @OptionGroup(title: "Logs")
    var log: LogOptions

    @Option(
        name: .long,
        help: ArgumentHelp("Write the process's number here when ready.", valueName: "path"),
        completion: .file())
    var pidFile: String?

    func run() async throws {
        var options = connections.serverOptions
        options.isCounting = !insight.noStats
        let service = DiskService(
            configuration: DiskService.Configuration(
                disks: disks.plans, addresses: addresses.plan, options: options,
                control: insight.plan, pidFile: pidFile),
            logger: log.logger)
        do {
            try await DiskService.run(service, logger: service.logger)
        } catch let failure as Failure {
            failure.tell()
            throw ExitCode(failure.exitCode)
        }
    }
}
