internal import ProgramSupport
internal import KernelDisks
internal import ArgumentParser
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import NBDProtocol
internal import SystemPackage

struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Attach the export of a running NBD server to a kernel device.",
        usage: "ramdisk-nbd attach <uri> [<device>] [<options>]",
        discussion: """
            Connects to the server, negotiates, passes the connections to the kernel and prints the \
            device. The kernel cannot encrypt, so `attach` does not support TLS.

            Without --stay the command then ends. When the server dies, requests fail. To reconnect, \
            run the same command again with the name of the device.

            With --stay the command keeps running and replaces each connection that dies. Meanwhile \
            requests wait, up to the dead-connection timeout. SIGTERM or `ramdisk-nbd detach` ends it: \
            the kernel writes what it has not written yet, and the device is detached. A device in use \
            stays attached until it is no longer in use.

            EXAMPLES
              A server on this machine, on the first free device:
                ramdisk-nbd attach nbd://localhost

              A server on another machine, which has five minutes to come back:
                ramdisk-nbd attach --stay nbd://host/name

              Four connections, and one minute:
                ramdisk-nbd attach --stay nbd://host/name /dev/nbd0 \\
                  --connections 4 --dead-connection-timeout 1m

              A server on a Unix socket:
                ramdisk-nbd attach 'nbd+unix:///?socket=/run/ramdisk.sock'
            """)

    @Argument(
        help: ArgumentHelp(
            "URI of the export, such as nbd://host/name or nbd+unix:///name?socket=/path.",
            valueName: "uri"), transform: NBDURI.init(argument:))
    var server: NBDURI

    @Argument(
        help: ArgumentHelp("The kernel device. (default: the first free one)", valueName: "device"),
        completion: .freeDevice)
    var device: DevicePath?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Number of connections, each with a queue, 1 to 32.", valueName: "count"))
    var connections = 1

    @OptionGroup
    var deviceSettings: DeviceSettingsOptions

    @Flag(name: .long, help: "Keep running, and replace connections that die.")
    var stay = false

    @OptionGroup
    var timeouts: AttachTimeouts

    @OptionGroup(title: "Logs")
    var log: LogOptions

    func validate() throws {
        try check("--connections", connections, in: 1...Up.mostQueues)
        try require(
            !stay || timeouts.timeout != .zero,
            "--timeout is 0, but --stay needs a timeout: without one it never replaces a dead "
                + "connection.")
        try require(
            connections == 1 || timeouts.timeout != .zero,
            "--timeout is 0, but with several --connections the kernel's driver sends a request again "
                + "after 30 seconds all the same: give a time, such as 30s.")
    }

    func run() throws {
        // A reader of the log that closes its pipe must not end the keeper of the device.
        signal(SIGPIPE, SIG_IGN)
        let stop = try SupervisorMailbox.fromSignals()
        if stay {
            try KernelDisk(plan, logger: log.logger, stop: stop).run { device, _ in
                standardOutput(device.path + "\n")
                NotifySocket.send("READY=1")
            }
        } else {
            let disk = try KernelDisk(plan, logger: log.quietLogger, stop: stop)
            standardOutput(try disk.attachOnly().path + "\n")
        }
    }

    private var plan: KernelDiskConfiguration {
        let usual = KernelDiskConfiguration.attachTimeouts(stays: stay)
        var plan = KernelDiskConfiguration.attaching(
            server, to: device?.device, connections: connections,
            timeouts: (
                request: timeouts.timeout?.driverSeconds ?? usual.request,
                deadConnection: timeouts.deadConnectionTimeout?.driverSeconds
                    ?? usual.deadConnection
            ))
        plan.setsUpBlockLayer = !deviceSettings.keepDeviceSettings
        return plan
    }
}

extension NBDURI {
    /// Parses an argument. Throws the sentence that says what is wrong with it.
    init(argument: String) throws {
        do throws(ParseError) {
            try self.init(argument)
        } catch {
            throw ValidationError("\(error).")
        }
    }
}
