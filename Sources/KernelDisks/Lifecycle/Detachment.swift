internal import LinuxHost
internal import LinuxIO
package import Logging
package import NBDKernel
package import ProgramSupport

/// The way `detach` detaches a device, whichever program has attached it.
package struct Detachment {
    private let logger: Logger
    /// Whether the device is detached without writing first, so that unwritten data is lost.
    private let isForced: Bool

    package init(logger: Logger, isForced: Bool) {
        self.logger = logger
        self.isForced = isForced
    }

    /// Milliseconds to wait for processes that have the detached device open.
    private static let closingTimeLimit = 2_000

    /// Detaches the device. A running keeper takes its own device down. Rejects the device of a disk that
    /// `up` has attached, unless forced.
    package func run(_ device: NBDDevice) throws(Failure) {
        guard let identifier = try device.requireBackend() ?? unnamed(device) else {
            throw .unavailable("\(device) is not attached")
        }
        guard Privileges.canAdminister else { throw .driver(.notPermitted) }
        if let directory = RuntimeDirectory(),
            let record = keeper(of: device, identifier, in: directory)
        {
            guard record.remote != nil || isForced else {
                throw .unavailable(
                    "`ramdisk-nbd up` attached \(device): use ramdisk-nbd down \(device)")
            }
            if record.remote != nil, !isForced || !record.supervisor.isRunning {
                return try TakeDown(directory: directory, logger: logger, isForced: isForced).run(
                    record)
            }
        }
        let claim = try DeviceTeardown.claimAfterServer(device, isForced: isForced)
        var driver = try openDriver()
        try DeviceTeardown.disconnect(device, &driver)
        claim.release()
        guard !DeviceTeardown.awaitEnd(of: device, milliseconds: Self.closingTimeLimit) else {
            return
        }
        logger.warning(
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
