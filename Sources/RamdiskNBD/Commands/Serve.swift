// `ramdisk-nbd serve`: memory as disks, until it is told to stop.

internal import ServerHost
internal import ArgumentParser
internal import NBDServer

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve one or more RAM disks to NBD clients.",
        discussion: """
            Prints one NBD URI a line for each address when it is ready, and serves until SIGTERM or \
            SIGINT; a second one ends it at once. SIGUSR1 logs how much memory each disk takes up. \
            What is stored is gone when it ends, unless --backing is given and it is killed or crashes, \
            or --keep is given too.

            Whoever can reach the address, and is not kept out with --allow, --allow-uid or \
            --allow-gid or by TLS, can read and write. By default that is this machine alone.

            Started by systemd it takes over the sockets that it is passed, of which it prints no URI, \
            and says when it is ready.

            EXAMPLES
              40 MiB on port 10809 of this machine, and the kernel's view of it:
                ramdisk-nbd serve
                nbd-client localhost /dev/nbd0

              2 GiB on a Unix socket, memory taken only as it is written:
                ramdisk-nbd serve --size 2G --sparse --unix /run/ramdisk.sock
                nbd-client -unix /run/ramdisk.sock /dev/nbd0

              A disk that outlives a server that is killed, and one that is stopped:
                ramdisk-nbd serve --size 4G --backing db
                ramdisk-nbd serve --size 4G --backing db --keep

              On two processors, in huge pages that were reserved:
                sysctl vm.nr_hugepages=512
                ramdisk-nbd serve --size 1G --huge-pages --cpu-list 2-3

              Two disks, by name:
                ramdisk-nbd serve --export fast=1G --export scratch=200M
                nbd-client -N scratch localhost /dev/nbd1

              A file system's image in memory, for any number of readers:
                ramdisk-nbd serve --load root.img --read-only

              A Unix socket for root and a group, judged by file and by peer:
                ramdisk-nbd serve --unix /run/ramdisk.sock --unix-mode 660 \\
                  --unix-owner :disk --allow-uid root --allow-gid disk

              A network's clients, none of which may hold more than four connections:
                ramdisk-nbd serve --listen '*' --allow 192.0.2.0/24 \\
                  --max-connections-per-address 4

              One client, through ssh:
                nbdsh -c 'h.connect_command("ssh HOST ramdisk-nbd serve --stdio".split())'

              For as long as a tool of libnbd's runs, which passes the socket:
                nbdinfo -- [ ramdisk-nbd serve --size 1G ]

              Encrypted, for other machines, and only for clients with a certificate:
                ramdisk-nbd tls init certificates --host nas.example
                ramdisk-nbd serve --listen '*' --tls-certificates certificates \\
                  --tls-verify-client

              Any free port, found out from the line that is printed:
                ramdisk-nbd serve --listen localhost:0
            """)

    @OptionGroup(title: "Disks")
    var disks: ExportOptions

    @OptionGroup(title: "Addresses")
    var addresses: ListenOptions

    @OptionGroup(title: "Who may connect")
    var admission: AdmissionOptions

    @OptionGroup(title: "Encryption")
    var encryption: TLSOptions

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
    var pidFile: PathArgument?

    @Flag(
        name: .long,
        help: """
            Guard the server against a machine without memory, for a disk that the machine itself \
            swaps or writes back to: code and buffers stay in memory, it is not chosen to be killed, its \
            threads get real-time priority, with which they may use memory that the kernel keeps back, \
            and vm.watermark_boost_factor is set to 0. Needs root; what is not allowed is told and \
            left out.
            """)
    var protect = false

    func validate() throws {
        try admission.validate(for: addresses)
    }

    func run() throws {
        var options = connections.serverOptions(isProtected: protect)
        options.isCounting = !insight.noStats
        options.admission = admission.policy
        let service = try DiskService(
            configuration: DiskService.Configuration(
                disks: disks.plans, addresses: addresses.plan, options: options,
                encryption: encryption.configuration, control: insight.plan, pidFile: pidFile?.path,
                purpose: addresses.stdio ? .standardStreams : .clients,
                protection: protect ? .swap : .none),
            logger: log.logger)
        try service.runObeyingSignals()
    }
}
