internal import Observability
internal import ServerHost
internal import ProgramSupport
internal import KernelDisks
internal import ArgumentParser
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import NBDServer

/// `ramdisk-nbd up`.
struct Up: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Attach a new RAM disk to this machine's kernel, and mount it.",
        discussion: """
            Serves a disk, attaches it to the first free /dev/nbdN, makes a file system if the disk is \
            blank, mounts it, and prints the device and the mount point. SIGTERM, SIGINT or \
            `ramdisk-nbd down` takes the disk down: the command unmounts it, detaches it and frees its \
            memory. If a step of the start fails, the steps before it are undone. The command needs \
            root, and neither nbd-client nor TCP.

            With --supervise, a worker process serves the disk. When the worker dies, a new one takes \
            over with the same memory, and the kernel sends unfinished requests again: programs see a \
            pause of a few seconds, not an error. With --backing, the disk also survives the supervisor: \
            `up` with the same name takes over the device.

            `stats`, `top` and `trace` work on a kernel disk as on any server. SIGUSR1 logs the memory \
            that it uses.

            EXAMPLES
              A GiB of memory as an ext4 file system:
                ramdisk-nbd up --size 1G --mount /mnt/ramdisk

              The same in the background, and its end:
                ramdisk-nbd up --size 1G --mount /mnt/ramdisk --daemon
                ramdisk-nbd list
                ramdisk-nbd down /mnt/ramdisk

              A disk with XFS that survives the death of its server:
                ramdisk-nbd up --size 4G --supervise --backing build --filesystem xfs \\
                  --mount /var/build --mount-options noatime

              A file system that is restored at the start and saved at the end:
                ramdisk-nbd up --size 2G --image /var/lib/world.img --mount /srv/world

              Only a device, for a virtual machine or for swap:
                ramdisk-nbd up --size 512M --device /dev/nbd3
                ramdisk-nbd up --size 512M --swap
            """)

    @OptionGroup(title: "Disk")
    var disk: DiskOptions

    @OptionGroup(title: "File system")
    var fileSystem: FileSystemOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The kernel device to attach to. (default: the first free one)", valueName: "device"),
        completion: .freeDevice)
    var device: DevicePath?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Number of connections between kernel and server, each with a queue and a thread, 1 to 32. \
            (default: one per CPU, up to 8)
            """, valueName: "count"))
    var queues: Int?

    @OptionGroup
    var deviceSettings: DeviceSettingsOptions

    @Flag(name: .long, help: "Serve in a worker process, and replace it when it dies.")
    var supervise = false

    @OptionGroup
    var timeouts: DiskTimeouts

    @OptionGroup
    var threads: ThreadOptions

    @Flag(
        name: .long,
        help: """
            Make the disk safe as swap: keep serving when memory is exhausted. The server's threads run \
            at real-time priority and may use the kernel's memory reserve, and \
            vm.watermark_boost_factor is set to 0. `up` locks the server's memory and spares it from \
            the OOM killer even without this option.
            """)
    var swap = false

    @Flag(
        name: .long,
        help: """
            Take over a device that is attached to the memory of --backing even if no record proves \
            that its supervisor is dead.
            """)
    var force = false

    @Flag(name: .long, help: "Stay in the foreground (the default).")
    var foreground = false

    @Flag(name: .long, help: "Go to the background when the disk is ready.")
    var daemon = false

    @OptionGroup(title: "Confinement")
    var sandbox: SandboxOptions

    @OptionGroup(title: "Observability")
    var observability: ObservabilityOptions

    @OptionGroup(title: "Logs")
    var log: LogOptions

    /// The pool and the member that the disk is.
    @Option(name: .long, help: .private)
    var poolMember: String?

    @Option(name: .long, help: .private)
    var role: SelfExecution.Role?

    func validate() throws {
        try exclude("--foreground", foreground, "--daemon", daemon)
        try check("--queues", queues, in: 1...Self.mostQueues)
        try exclude(
            "--swap", swap, "--supervise", supervise,
            "A machine that swaps to the disk cannot start a new worker when the first one dies.")
        try exclude(
            "--template", disk.isClone, "--supervise", supervise,
            "A new worker could not find what was written to the clone.")
        try require(
            timeouts.timeout != .zero,
            "--timeout is 0, but `up` needs a timeout: without one it never replaces a dead "
                + "connection.")
        let hasContents = disk.load != nil || disk.isClone || disk.backing.backing != nil
        try require(
            !disk.readOnly || hasContents || fileSystem.plan(isReadOnly: true).kind == .none,
            "--read-only: `up` cannot make a file system on a read-only disk; give --load with "
                + "an image of one, or --filesystem none.")
    }

    /// Most connections, which is what the supervisor can wait for at a time.
    static let mostQueues = 32

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        let stop = try SupervisorMailbox.fromSignals()
        switch role {
        case nil where daemon: try Daemon.start(stop)
        case .worker: try serve(stop)
        default: try own(stop)
        }
    }

    /// Runs the worker, which only serves.
    private func serve(_ stop: SupervisorMailbox) throws {
        // Commands find every worker's control socket under the pid of the supervisor.
        let serving = serving(under: getppid())
        try Worker(plan: disk.plans[0], serving: serving, logger: log.logger, stop: stop).run()
    }

    /// Runs the supervisor, which owns the device, the mount and the record.
    private func own(_ stop: SupervisorMailbox) throws {
        let isDaemon = role == .daemon
        LogHold.begin(log.logger)
        let disk = try KernelDisk(plan, logger: log.logger, stop: stop)
        try disk.run { device, mountPoint in
            LogHold.end()
            standardOutput(device.path + (mountPoint.map { " \($0)" } ?? "") + "\n")
            NotifySocket.send("READY=1")
            if isDaemon { Daemon.detach() }
        }
    }

    private func serving(under process: Int32) -> ServingConfiguration {
        var plan = ServingConfiguration()
        threads.apply(to: &plan.options)
        plan.options.isCounting = !observability.noStats
        plan.control = observability.plan
        plan.control.process = process
        if let directory = RuntimeDirectory() { plan.control.directory = directory.path }
        plan.protection = swap ? .swap : .writeBack
        plan.sandbox = sandbox.mode
        return plan
    }

    /// The configuration. Read it before the process changes its directory.
    var plan: KernelDiskConfiguration {
        var plan = disk.plans[0]
        var worker: SupervisedDiskServer.Command?
        if supervise {
            worker = SupervisedDiskServer.Command(
                workerOf: &plan, paths: disk.pathArguments + observability.pathArguments)
        }
        let usual = KernelDiskConfiguration.timeouts(outlivesServer: plan.backing != nil)
        var configuration = KernelDiskConfiguration(
            disk: plan, serving: serving(under: getpid()),
            fileSystem: fileSystem.plan(isReadOnly: disk.readOnly),
            device: device?.device, queues: queues ?? max(1, min(8, Processor.onlineCount)),
            requestTimeout: timeouts.timeout?.driverSeconds ?? usual.request,
            deadConnectionTimeout: timeouts.deadConnectionTimeout?.driverSeconds
                ?? usual.deadConnection,
            worker: worker, isForced: force,
            setsUpBlockLayer: !deviceSettings.keepDeviceSettings,
            log: role == .daemon ? Daemon.ownLogPath : nil)
        configuration.pool = poolMember
        return configuration
    }
}

extension SelfExecution.Role: ExpressibleByArgument {}
