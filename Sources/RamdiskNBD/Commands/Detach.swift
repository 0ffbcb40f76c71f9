internal import ProgramSupport
internal import KernelDisks
internal import LinuxHost
internal import ArgumentParser
internal import LinuxIO
internal import Logging
internal import NBDKernel

struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Detach a device of the kernel from its server.",
        usage: "ramdisk-nbd detach [--force] [<options>] <device>",
        discussion: """
            What the kernel still has to write is written first. A device that is mounted, used as swap, or a \
            part of another device stays attached. A device whose server is gone is detached if nothing is \
            left to be written to it.

            EXAMPLES
              A device that is attached:
                ramdisk-nbd detach /dev/nbd0

              One whose server is gone, with what was not written to it:
                ramdisk-nbd detach --force /dev/nbd0
            """)

    @Argument(help: ArgumentHelp("The device.", valueName: "device"))
    var device: DevicePath

    @Flag(
        name: .long,
        help: """
            Write nothing first, and detach also when the device is mounted; what was not written is lost.
            """)
    var force = false

    @OptionGroup(title: "Logs")
    var log: LogOptions

    func run() throws {
        try detach(device.device)
    }

    private func detach(_ device: NBDDevice) throws(Failure) {
        guard let identifier = try device.requireBackend() ?? unnamed(device) else {
            throw .unavailable("\(device) is not attached")
        }
        guard Privileges.canAdminister else { throw .driver(.notPermitted) }
        if let directory = RuntimeDirectory(),
            let record = keeper(of: device, identifier, in: directory)
        {
            guard record.remote != nil || force else {
                throw .unavailable(
                    "\(device) was brought up by `ramdisk-nbd up`: use ramdisk-nbd down \(device)")
            }
            if record.remote != nil, !force || !record.supervisor.isRunning {
                return try TakeDown(directory: directory, logger: log.quietLogger, isForced: force)(
                    record)
            }
        }
        let claim = try DeviceTeardown.claimAfterServer(device, isForced: force)
        var driver = try openDriver()
        try DeviceTeardown.disconnect(device, &driver)
        claim.release()
        guard !DeviceTeardown.awaitEnd(of: device, milliseconds: 2_000) else { return }
        log.quietLogger.warning(
            "\(device) is detached; the device stays \(DeviceTeardown.reason(whyHeld: device))")
    }

    /// The record of the process that looks after the device, or else of one that did.
    private func keeper(
        of device: NBDDevice, _ identifier: String, in directory: RuntimeDirectory
    ) -> DiskRecord? {
        let records = directory.records.filter {
            $0.identifier == identifier && $0.device == device
        }
        return records.first(where: \.supervisor.isRunning) ?? records.first
    }

    /// A device that another program has attached without a text.
    private func unnamed(_ device: NBDDevice) -> String? {
        (try? device.isConnected()) == false ? nil : ""
    }
}
