// `ramdisk-nbd detach`: a device without its server.

internal import ArgumentParser
internal import NBDKernel

struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Detach a device of the kernel from its server.",
        discussion: """
            What the kernel still has to write is written first. A device that is mounted, or used as \
            swap, stays attached.

            EXAMPLES
                ramdisk-nbd detach /dev/nbd0
            """)

    @Argument(help: ArgumentHelp("The device.", valueName: "device"))
    var device: DevicePath

    func run() throws {
        try detach(device.device)
    }

    private func detach(_ device: NBDDevice) throws(Failure) {
        let records = RuntimeDirectory()?.records ?? []
        guard !records.contains(where: { $0.attachedDevice == device }) else {
            throw .unavailable(
                "\(device) was brought up by `ramdisk-nbd up`: use ramdisk-nbd down \(device)")
        }
        guard device.isConnected else { throw .unavailable("\(device) is not attached") }
        guard Privileges.canAdminister else { throw .driver(.notPermitted) }
        try DeviceEnd.settle(device)
        var driver = try openDriver()
        try DeviceEnd.disconnect(device, &driver)
    }
}
