internal import ServerHost
internal import ArgumentParser
internal import ProgramSupport
internal import Confinement
internal import NBDServer

/// `ramdisk-nbd serve`.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve one or more RAM disks to NBD clients.",
        discussion: """
            Prints an NBD URI for each address, one per line, when the server is ready. SIGTERM or \
            SIGINT stops the server gracefully; a second one ends it at once. SIGUSR1 logs the memory \
            that each disk uses. The data is lost when the server ends, unless --image saves it. With \
            --backing it survives a server that crashes or is killed, and with --keep also one that is \
            stopped.

            Every client that can reach the address can read and write, unless TLS, --allow-network, \
            --allow-user or --allow-group rejects it. By default only this machine can.

            Under systemd the server uses the sockets that it is passed, for which it prints no URI, \
            and notifies systemd when it is ready.

            EXAMPLES
              40 MiB on port 10809 of this machine, attached to the kernel:
                ramdisk-nbd serve
                nbd-client localhost /dev/nbd0

              2 GiB on a Unix socket, with memory allocated when it is written:
                ramdisk-nbd serve --size 2G --sparse --unix /run/ramdisk.sock
                nbd-client -unix /run/ramdisk.sock /dev/nbd0

              A disk that survives a killed server, and one that survives a stop too:
                ramdisk-nbd serve --size 4G --backing db
                ramdisk-nbd serve --size 4G --backing db --keep

              A disk that survives a reboot, and loses five minutes at most in a crash:
                ramdisk-nbd serve --size 4G --image /var/lib/db.img --save-every 5m

              On two CPUs, in reserved huge pages:
                sysctl vm.nr_hugepages=512
                ramdisk-nbd serve --size 1G --huge-pages --cpu-list 2-3

              Two named disks:
                ramdisk-nbd serve --export fast=1G --export scratch=200M
                nbd-client -N scratch localhost /dev/nbd1

              A file system image in memory, for any number of readers:
                ramdisk-nbd serve --load root.img --read-only

              A Unix socket for root and one group, by file mode and by peer:
                ramdisk-nbd serve --unix /run/ramdisk.sock --unix-mode 660 \\
                  --unix-owner :disk --allow-user root --allow-group disk

              Clients of one network, with at most four connections each:
                ramdisk-nbd serve --listen '*' --allow-network 192.0.2.0/24 \\
                  --max-connections-per-address 4

              One client over ssh:
                nbdsh -c 'h.connect_command("ssh HOST ramdisk-nbd serve --stdio".split())'

              A disk for one libnbd tool, which passes the socket:
                nbdinfo -- [ ramdisk-nbd serve --size 1G ]

              Encrypted, for other machines, with client certificates:
                ramdisk-nbd tls init certificates --host nas.example
                ramdisk-nbd serve --listen '*' --tls-certificates certificates \\
                  --tls-verify-peer

              Any free port, which the printed URI shows:
                ramdisk-nbd serve --listen localhost:0
            """)

    @OptionGroup(title: "Disks")
    var disks: ExportOptions

    @OptionGroup(title: "Addresses")
    var addresses: ListenOptions

    @OptionGroup(title: "Access control")
    var admission: AdmissionOptions

    @OptionGroup(title: "Encryption")
    var encryption: TLSOptions

    @OptionGroup(title: "Confinement")
    var sandbox: SandboxOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Switch to this user (a name or a uid) once the server has its sockets and its memory. \
            Needs root. The control socket still belongs to root; the server cannot remove files \
            from directories in which the user may not write. (default: the user that starts the \
            server)
            """, valueName: "user"),
        completion: .user, transform: ServerUser.init(parsing:))
    var user: ServerUser?

    @OptionGroup(title: "Connections")
    var connections: ConnectionOptions

    @OptionGroup(title: "Observability")
    var observability: ObservabilityOptions

    @OptionGroup(title: "Logs")
    var log: LogOptions

    @Option(
        name: .long,
        help: ArgumentHelp("Write the pid to this file when ready.", valueName: "path"),
        completion: .file())
    var pidFile: AbsolutePath?

    @Flag(
        name: .long,
        help: """
            Make the disk safe as swap of this machine: keep serving when memory is exhausted. The \
            server locks its memory, the OOM killer spares it, its threads run at real-time priority and \
            may use the kernel's memory reserve, and vm.watermark_boost_factor is set to 0. Needs root; \
            the server logs and skips what it is not permitted to do.
            """)
    var swap = false

    func validate() throws {
        try admission.validate(for: addresses)
        try validateUser()
        try exclude(
            "--swap", swap, "--clone-per-connection", disks.clonePerConnection,
            "--swap locks memory, so each connection would take memory for the whole template.")
    }

    /// Rejects what only root can do at the end of the server.
    private func validateUser() throws {
        for (other, isGiven, reason) in [
            ("--swap", swap, "only root can restore the machine's settings when the server stops"),
            (
                "--backing", disks.disk.backing.backing != nil,
                "a backing belongs to the user that created it"
            ),
        ] {
            try exclude(
                "--user", user != nil, other, isGiven,
                "With \(other), \(reason): start the server as that user instead, for example with runuser."
            )
        }
    }

    func run() throws {
        var options = connections.serverOptions(isProtected: swap)
        options.isCounting = !observability.noStats
        options.admission = admission.policy
        var configuration = DiskService.Configuration(
            disks: disks.plans, addresses: addresses.plan, options: options,
            encryption: encryption.configuration, control: observability.plan,
            pidFile: pidFile?.path,
            purpose: addresses.stdio ? .standardStreams : .clients,
            protection: swap ? .swap : .none, sandbox: sandbox.mode)
        configuration.user = user
        let service = try DiskService(configuration: configuration, logger: log.logger)
        try service.runObeyingSignals()
    }
}
