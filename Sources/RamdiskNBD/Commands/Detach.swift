internal import ProgramSupport
internal import KernelDisks
internal import LinuxHost
internal import ArgumentParser
internal import LinuxIO
internal import Logging
internal import NBDKernel

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

    @Argument(help: ArgumentHelp("The kernel device.", valueName: "device"))
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
                    "`ramdisk-nbd up` attached \(device): use ramdisk-nbd down \(device)")
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
            "\(device) is detached, but not free yet: it stays \(DeviceTeardown.reason(whyHeld: device))"
        )
    }

    /// Returns the record of the process that manages the device, or else of a dead one that did.
    private func keeper(
        of device: NBDDevice, _ identifier: String, in directory: RuntimeDirectory
    ) -> DiskRecord? {
        let records = directory.records.filter {
            $0.identifier == identifier && $0.device == device
        }
        return records.first(where: \.supervisor.isRunning) ?? records.first
    }

    /// Returns an empty identifier for a device that another program attached without one.
    private func unnamed(_ device: NBDDevice) -> String? {
        (try? device.isConnected()) == false ? nil : ""
    }
}
