internal import ServerHost
package import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
package import Logging
internal import NBDKernel
internal import NBDServer
internal import SystemPackage

/// Takes a disk down that another process has brought up.
package struct TakeDown {
    package let directory: RuntimeDirectory
    package let logger: Logger
    /// Whether a device may go whose disk cannot be served again.
    package let isForced: Bool

    package init(directory: RuntimeDirectory, logger: Logger, isForced: Bool) {
        self.directory = directory
        self.logger = logger
        self.isForced = isForced
    }

    /// Milliseconds for the owner to do its part; it may have a lot to write.
    private static let patience = 60_000
    /// Milliseconds to wait for users of a device that is detached already.
    private static let closingPatience = 2_000
    /// Milliseconds for a worker without a supervisor to see that it is of no use.
    private static let strayPatience = 10_000

    /// Returns when nothing of it is left but, at most, a detached device that something still has open.
    package func callAsFunction(_ record: DiskRecord) throws(Failure) {
        if let owner = ProcessWatch(record.owner) {
            try end(owner, record)
        } else if record.owner.isRunning {
            throw .system(
                "cannot watch process \(record.owner.number), which looks after the disk: is there a "
                    + "descriptor left?")
        } else {
            try cleanUp(record)
        }
    }

    /// Asks first whether the disk can go. Only then the owner is told to take it down, which it does as soon as
    /// it can.
    private func end(
        _ watch: borrowing ProcessWatch, _ record: DiskRecord
    ) throws(Failure) {
        if !record.isDetaching, let device = try record.attachedDevice() {
            try DeviceTeardown.requireUnused(
                device, except: record.mountPoint, owner: record.owner.number)
            do throws(Failure) {
                if isInOurNamespace(record.owner) {
                    try DeviceTeardown.release(device, mountedAt: record.mountPoint, logger).end()
                }
            } catch {
                // Another `down` may have been quicker.
                guard directory.current(record)?.isDetaching != false else { throw error }
            }
        }
        record.owner.signal(SIGTERM)
        let deadline = MonotonicTime.now().adding(milliseconds: Self.patience)
        var closingDeadline: MonotonicTime?
        while .now() < deadline {
            if try hasEnded(watch, record) {
                // Killed before it was done, perhaps.
                if let left = directory.current(record) { try cleanUp(left) }
                return
            }
            guard let now = directory.current(record), now.isDetaching, let device = now.device
            else {
                continue
            }
            let end =
                closingDeadline ?? MonotonicTime.now().adding(milliseconds: Self.closingPatience)
            closingDeadline = end
            if .now() >= end {
                let reason = DeviceTeardown.reason(whyHeld: device)
                return logger.warning(
                    "\(device) is detached and its memory is free; the device stays \(reason)")
            }
        }
        throw .unavailable(
            "process \(record.owner.number) does not take its disk down; its log says why")
    }

    /// What is mounted in another mount namespace only its owner can unmount.
    private func isInOurNamespace(_ owner: ProcessIdentity) -> Bool {
        let own = BlockDeviceUse.mountNamespace(of: CurrentProcess.number)
        return own == nil || BlockDeviceUse.mountNamespace(of: owner.number) == own
    }

    private func hasEnded(
        _ watch: borrowing ProcessWatch, _ record: DiskRecord
    ) throws(Failure) -> Bool {
        do throws(Errno) {
            return try watch.wait(milliseconds: 100)
        } catch {
            throw .system("cannot wait for process \(record.owner.number): \(error)")
        }
    }

    /// The owner was killed.
    private func cleanUp(_ record: DiskRecord) throws(Failure) {
        guard let device = try record.attachedDevice() else { return try remove(record) }
        if record.backing != nil {
            do throws(Failure) {
                return record.worker?.isRunning == true
                    ? try detach(device, record) : try serveAgain(record)
            } catch {
                guard isForced else {
                    throw Failure(
                        error.kind,
                        "\(error.sentence); with --force \(device) is detached anyway, and data "
                            + "that was not written is lost")
                }
            }
        }
        // What was in the server's own memory went with it: nothing can be saved. A server elsewhere may have
        // what the kernel still has to write.
        var driver = try openDriver()
        let claim =
            record.remote == nil
            ? nil : try DeviceTeardown.claimAfterServer(device, isForced: isForced)
        try DeviceTeardown.disconnect(device, &driver)
        claim?.end()
        for mount in Mount.all(of: device.path) {
            DeviceTeardown.abandon(device, mountPoint: mount.point)
        }
        try remove(record)
    }

    /// A worker still serves the disk: it does so until the device is detached.
    private func detach(_ device: NBDDevice, _ record: DiskRecord) throws(Failure) {
        let claim = try DeviceTeardown.release(device, mountedAt: record.mountPoint, logger)
        var driver = try openDriver()
        do throws(Failure) {
            try DeviceTeardown.disconnect(device, &driver)
        } catch {
            DeviceTeardown.restore(claim, logger)
            throw error
        }
        claim.end()
        try remove(record)
    }

    /// The disk is in its backing, and the kernel may have more to write to it: it is served once
    /// more, to be taken down in order.
    private func serveAgain(_ record: DiskRecord) throws(Failure) {
        let timeouts = KernelDiskConfiguration.timeouts(outlivesServer: true)
        let plan = KernelDiskConfiguration(
            disk: DiskConfiguration(
                name: "", size: nil, isSparse: !record.usesReservedPages, isReadOnly: false,
                load: nil, usesReservedPages: record.usesReservedPages, backing: record.backing),
            fileSystem: .none, device: nil, queues: record.queues,
            requestTimeout: timeouts.request, deadConnectionTimeout: timeouts.deadConnection)
        let stop: SupervisorMailbox
        do throws(Errno) {
            stop = try SupervisorMailbox()
        } catch {
            throw .system("cannot make a descriptor: \(error)")
        }
        let disk = try KernelDisk(plan, logger: logger, stop: stop)
        disk.closingPatience = Self.closingPatience
        do throws(Failure) {
            try disk.bringUp()
            try disk.takeDown()
        } catch {
            if disk.takenOver == nil { disk.takeDownEventually() } else { disk.leaveAsFound() }
            throw error
        }
        if disk.isLost {
            throw .unavailable(
                "\(record.device?.path ?? "the device") was detached by another program")
        }
    }

    /// What is left when no device is: a worker, memory with a name, a mount point, the record.
    private func remove(_ record: DiskRecord) throws(Failure) {
        try OrphanedDisk.endWorker(of: record)
        if let backing = record.backing, !backing.isKept { try free(backing, record) }
        if let point = record.mountPoint {
            Directory.removeEmpty(point, levels: record.madeDirectories)
        }
        directory.remove(record)
    }

    /// Takes the memory's name away. A worker that nobody has heard of yet, because its supervisor was
    /// killed in that moment, may have it for a little while more.
    private func free(_ backing: BackingConfiguration, _ record: DiskRecord) throws(Failure) {
        let deadline = MonotonicTime.now().adding(milliseconds: Self.strayPatience)
        while true {
            do throws(Failure) {
                return try backing.makeDisk(
                    size: nil, isSparse: !record.usesReservedPages,
                    usesReservedPages: record.usesReservedPages, logger: logger
                ).remove()
            } catch {
                guard error.kind == .unavailable, .now() < deadline else {
                    throw error
                }
                MonotonicTime.now().adding(milliseconds: 50).sleep()
            }
        }
    }
}
