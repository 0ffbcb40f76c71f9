internal import ServerHost
internal import ProgramSupport
internal import KernelDisks
internal import ArgumentParser
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import NBDProtocol
internal import SystemPackage

/// Where an export is.
struct ServerURI: ExpressibleByArgument {
    var uri: NBDURI

    init?(argument: String) {
        guard let uri = try? NBDURI(argument) else { return nil }
        self.uri = uri
    }
}

struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Attach the export of a running NBD server to a device of the kernel.",
        usage: "ramdisk-nbd attach <uri> [<device>] [<options>]",
        discussion: """
            Connects, does the handshake, hands the connections to the kernel and prints the device. TLS \
            is not possible so.

            Without --stay the command ends then, and the kernel goes on by itself: when the server goes, \
            requests fail. The same command with the device's name makes the connections again.

            With --stay the command stays, and makes a connection again whenever one has died, for as long \
            as it runs. Requests wait for that up to the dead-connection timeout. SIGTERM or \
            `ramdisk-nbd detach` ends it: what the kernel still has to write is written, and the device is \
            detached; a device that is in use stays until it can go.

            EXAMPLES
              A server on this machine, at the first free device:
                ramdisk-nbd attach nbd://localhost

              Another machine's, with five minutes for it to come back:
                ramdisk-nbd attach --stay nbd://host/name

              Over four connections, with a minute:
                ramdisk-nbd attach --stay nbd://host/name /dev/nbd0 \\
                  --connections 4 --dead-connection-timeout 60

              On a Unix socket:
                ramdisk-nbd attach 'nbd+unix:///?socket=/run/ramdisk.sock'
            """)

    @Argument(help: ArgumentHelp("nbd:// or nbd+unix:// and so on.", valueName: "uri"))
    var server: ServerURI

    @Argument(
        help: ArgumentHelp("The device. (default: the first free one)", valueName: "device"))
    var device: DevicePath?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Connections, each with a queue of its own, 1 to 32.", valueName: "count"))
    var connections = 1

    @Flag(name: .long, help: "Stay, and make connections again that have died.")
    var stay = false

    @OptionGroup
    var timeouts: AttachTimeouts

    @OptionGroup(title: "Logs")
    var log: LogOptions

    func validate() throws {
        guard (1...Up.mostQueues).contains(connections) else {
            throw ValidationError(
                "--connections is \(connections), but has to be from 1 to \(Up.mostQueues).")
        }
        if stay, timeouts.timeout == 0 {
            throw ValidationError(
                "--timeout is 0, but --stay needs one: without it a dead connection is never replaced."
            )
        }
    }

    func run() throws {
        // A reader of the log that goes away must not take the device's keeper with it.
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
        return KernelDiskConfiguration(
            disk: DiskConfiguration(
                name: "", size: nil, isSparse: false, isReadOnly: false, load: nil),
            fileSystem: .none, device: device?.device, queues: connections,
            requestTimeout: timeouts.timeout.map(UInt64.init) ?? usual.request,
            deadConnectionTimeout: timeouts.deadConnectionTimeout.map(UInt64.init)
                ?? usual.deadConnection,
            remote: server.uri, takeOverMilliseconds: 1_000)
    }
}
