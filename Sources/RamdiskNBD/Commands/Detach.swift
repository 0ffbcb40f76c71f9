internal import KernelDisks
internal import ArgumentParser

/// `ramdisk-nbd detach`.
struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Detach a kernel device from its server.",
        usage: "ramdisk-nbd detach [--force] [<options>] <device>",
        discussion: """
            The kernel first writes what it has not written yet. A device that is mounted, used as swap \
            or part of another device stays attached. A device whose server is dead is detached if \
            nothing is left to write to it.

            EXAMPLES
              An attached device:
                ramdisk-nbd detach /dev/nbd0

              One whose server is dead, losing what was not written to it:
                ramdisk-nbd detach --force /dev/nbd0
            """)

    @Argument(
        help: ArgumentHelp("The kernel device.", valueName: "device"), completion: .attachedDevice)
    var device: DevicePath

    @Flag(
        name: .long,
        help: """
            Detach without writing first, even a mounted device. Data that was not written is lost.
            """)
    var force = false

    @OptionGroup(title: "Logs")
    var log: LogOptions

    func run() throws {
        try Detachment(logger: log.quietLogger, isForced: force).run(device.device)
    }
}
