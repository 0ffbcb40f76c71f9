// `ramdisk-nbd up`: from memory to a mounted disk, until it is told to stop.

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

struct Up: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Attach a new RAM disk to this machine's kernel, and mount it.",
        discussion: """
            Serves a disk of memory, attaches it to the first free /dev/nbdN, makes a file system if \
            the disk is blank, mounts it, prints the device and the mount point, and serves until \
            SIGTERM or SIGINT, or `ramdisk-nbd down`. Then it unmounts, detaches and frees the memory. \
            If a step fails, those before it are undone. It needs root, and neither nbd-client nor TCP.

            With --supervise another process serves the disk. When that one dies, for whatever \
            reason, a new one takes its place with the same memory, and what was in flight is sent \
            again: programs above see a pause of a few seconds, not an error. With --backing the \
            same holds for this process: `up` with the same name goes on with the device that it \
            has left.

            `stats`, `top` and `trace` work on such a disk as on any other server, and SIGUSR1 logs how \
            much memory it takes up.

            EXAMPLES
              A GiB of memory as an ext4 file system:
                ramdisk-nbd up --size 1G --mount /mnt/ramdisk

              The same in the background, then away with it:
                ramdisk-nbd up --size 1G --mount /mnt/ramdisk --daemon
                ramdisk-nbd list
                ramdisk-nbd down /mnt/ramdisk

              A disk that outlives its server, with XFS on it:
                ramdisk-nbd up --size 4G --supervise --backing build --filesystem xfs \\
                  --mount /var/build --mount-options noatime

              A device alone, for a virtual machine; or for swap:
                ramdisk-nbd up --size 512M --device /dev/nbd3
                ramdisk-nbd up --size 512M --protect
            """)

    @OptionGroup(title: "Disk")
    var disk: DiskOptions

    @OptionGroup(title: "File system")
    var fileSystem: FileSystemOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Which device to attach. (default: the first free one)", valueName: "device"))
    var device: DevicePath?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Connections between kernel and server, each with a queue and a thread, 1 to 32. \
            (default: one for each processor, up to 8)
            """, valueName: "count"))
    var queues: Int?

    @Flag(name: .long, help: "Serve in a process of its own, and start that again when it dies.")
    var supervise = false

    @OptionGroup
    var timeouts: DiskTimeouts

    @OptionGroup
    var threads: ThreadOptions

    @Flag(
        name: .long,
        help: """
            Guard the server against a machine without memory as it takes for swap on the disk: its \
            threads get real-time priority, with which they may use what the kernel keeps back, and \
            vm.watermark_boost_factor is set to 0. Locked memory and what else a disk needs that is \
            written back to are there without it.
            """)
    var protect = false

    @Flag(
        name: .long,
        help: """
            Take over a device that is attached to the memory of --backing though no record says that its owner \
            is gone.
            """)
    var force = false

    @Flag(name: .long, help: "Stay in the foreground; this is the default.")
    var foreground = false

    @Flag(name: .long, help: "Go to the background when all is ready.")
    var daemon = false

    @OptionGroup(title: "Insight")
    var insight: InsightOptions

    @OptionGroup(title: "Logs")
    var log: LogOptions

    @Option(name: .long, help: .private)
    var role: SelfExecution.Role?

    func validate() throws {
        guard !foreground || !daemon else {
            throw ValidationError("--foreground and --daemon: give one of them.")
        }
        if let queues, !(1...Self.mostQueues).contains(queues) {
            throw ValidationError(
                "--queues is \(queues), but has to be from 1 to \(Self.mostQueues).")
        }
        if protect, supervise {
            throw ValidationError(
                "--protect and --supervise: give one of them. A machine that swaps to the disk cannot start "
                    + "another server when the first one dies.")
        }
        if timeouts.timeout == 0 {
            throw ValidationError(
                "--timeout is 0, but `up` needs one: without it a dead connection is never replaced."
            )
        }
        let plan = fileSystem.plan(isReadOnly: disk.readOnly)
        guard
            !disk.readOnly || plan.kind == .none || disk.load != nil || disk.backing.backing != nil
        else {
            throw ValidationError(
                "--read-only: no file system can be made on a disk that cannot be written; "
                    + "give --load with an image of one.")
        }
    }

    /// What waiting for many things at a time has room for.
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

    /// A worker: serves, and knows nothing of the kernel.
    private func serve(_ stop: SupervisorMailbox) throws {
        // It is found under its supervisor's number, whichever worker it is.
        let serving = serving(under: getppid())
        try Worker(plan: disk.plans[0], serving: serving, logger: log.logger, stop: stop).run()
    }

    /// The owner of the device, the mount and the record.
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
        plan.options.isCounting = !insight.noStats
        plan.control = insight.plan
        plan.control.process = process
        if let directory = RuntimeDirectory() { plan.control.directory = directory.path }
        plan.protection = protect ? .swap : .writeBack
        return plan
    }

    /// What is asked for. To be read before the process goes to another directory.
    var plan: KernelDiskConfiguration {
        var plan = disk.plans[0]
        var worker: SupervisedDiskServer.Command?
        if supervise {
            // A worker may be started when this process has left the directory that it was started in.
            var more = disk.pathArguments + insight.pathArguments
            if plan.backing == nil {
                // A name for this time alone: the memory is the next worker's too.
                let name = "up-\(String(UInt64.random(in: .min ... .max), radix: 36))"
                plan.backing = BackingConfiguration(name: name, directory: nil, isKept: false)
                more += ["--backing", name]
            }
            worker = SupervisedDiskServer.Command(
                program: SelfExecution.path,
                arguments: SelfExecution.arguments(role: .worker) + more)
        }
        let usual = KernelDiskConfiguration.timeouts(outlivesServer: plan.backing != nil)
        return KernelDiskConfiguration(
            disk: plan, serving: serving(under: getpid()),
            fileSystem: fileSystem.plan(isReadOnly: disk.readOnly),
            device: device?.device, queues: queues ?? max(1, min(8, Processor.onlineCount)),
            requestTimeout: timeouts.timeout.map(UInt64.init) ?? usual.request,
            deadConnectionTimeout: timeouts.deadConnectionTimeout.map(UInt64.init)
                ?? usual.deadConnection,
            worker: worker, isForced: force, log: role == .daemon ? Daemon.ownLogPath : nil)
    }
}

extension SelfExecution.Role: ExpressibleByArgument {}
