internal import ServerHost
package import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
package import Logging
internal import NBDKernel
internal import NBDServer
internal import SystemPackage

/// The way `down` takes down a disk that another process has brought up.
package struct TakeDown {
    let directory: RuntimeDirectory
    let logger: Logger
    /// Whether a device is detached although its disk cannot be served again, so that unwritten data is lost, and a
    /// disk is taken down although it cannot be saved to its image.
    let isForced: Bool

    package init(directory: RuntimeDirectory, logger: Logger, isForced: Bool) {
        self.directory = directory
        self.logger = logger
        self.isForced = isForced
    }

    /// Milliseconds that the supervisor gets to take its disk down. It may have much to write.
    private static let supervisorTimeLimit = 60_000
    /// Milliseconds to wait for processes that have a detached device open.
    private static let closingTimeLimit = 2_000
    /// The time in milliseconds that a worker gets to notice that its supervisor has died.
    private static let strayWorkerTimeLimit = 10_000

    /// Takes the disk down. On return nothing of it is left but, at most, a detached device that a process
    /// still has open.
    package func run(_ record: DiskRecord) throws(Failure) {
        if let supervisor = ProcessWatch(record.supervisor) {
            try end(supervisor, record)
        } else if record.supervisor.isRunning {
            throw .system(
                "cannot watch process \(record.supervisor.pid), which looks after the disk; this process may have "
                    + "no descriptor left")
        } else {
            try cleanUp(record)
        }
    }

    /// Asks a living supervisor to take its disk down. This process first checks that the disk can be taken down. Only
    /// then does it send SIGTERM, after which the supervisor takes the disk down as soon as it can.
    private func end(
        _ watch: borrowing ProcessWatch, _ record: DiskRecord
    ) throws(Failure) {
        let claim = try prepare(record)
        let failedSaves = directory.current(record)?.failedSave?.count ?? 0
        var unsaved: Failure?
        record.supervisor.signal(SIGTERM)
        let limit =
            record.image == nil
            ? Self.supervisorTimeLimit : SupervisedDiskServer.Limits.wholeDisk
        let deadline = MonotonicTime.now().adding(milliseconds: limit)
        var closingDeadline: MonotonicTime?
        while .now() < deadline {
            if try hasEnded(watch, record) {
                // The supervisor may have been killed before it was done.
                if let remaining = directory.current(record) { try cleanUp(remaining) }
                if let unsaved { throw unsaved }
                return
            }
            let current = directory.current(record)
            if let failure = current?.failedSave, failure.count > failedSaves, unsaved == nil {
                unsaved = try giveUpSaving(failure, record, claim)
            }
            guard let now = current, now.isDetaching, let device = now.device,
                (try? device.isConnected()) != false
            else {
                // A disconnect that has failed is tried again later.
                closingDeadline = nil
                continue
            }
            let end =
                closingDeadline ?? MonotonicTime.now().adding(milliseconds: Self.closingTimeLimit)
            closingDeadline = end
            if .now() >= end {
                let reason = DeviceTeardown.reason(whyHeld: device)
                logger.warning("\(device) is detached; the device stays \(reason)")
                if let unsaved { throw unsaved }
                return
            }
        }
        throw .unavailable(
            "process \(record.supervisor.pid) has not taken its disk down in \(limit / 1_000) seconds; its log says why"
        )
    }

    /// Asks a supervisor to take its disk down although it cannot save the disk, and returns the error to end with.
    /// Unless forced, throws why the disk stays up.
    private func giveUpSaving(
        _ failure: DiskRecord.FailedSave, _ record: DiskRecord, _ claim: DeviceTeardown.Claim?
    ) throws(Failure) -> Failure {
        guard isForced else {
            if let claim { DeviceTeardown.restore(claim, logger) }
            throw .inputOutput(
                "the disk is not saved, so it stays up: \(failure.sentence); process "
                    + "\(record.supervisor.pid) tries again every second, and --force takes the disk down "
                    + "without a save")
        }
        record.supervisor.signal(SupervisorMailbox.unsavedTakeDown)
        // The supervisor tries once more. It removes its record at the end, so this process cannot know how that went.
        return .unsaved(record.image ?? "its image", failure.sentence, isCertain: false)
    }

    /// Unmounts a disk and waits until its dirty pages are written, or throws the reason why it is in use. Returns what
    /// restores the mount; nil when the supervisor unmounts it, or has already.
    private func prepare(_ record: DiskRecord) throws(Failure) -> DeviceTeardown.Claim? {
        guard !record.isDetaching, let device = try record.attachedDevice() else { return nil }
        try DeviceTeardown.requireUnused(
            device.path, except: record.mountPoint, supervisor: record.supervisor.pid)
        guard isInOurNamespace(record.supervisor) else { return nil }
        do throws(Failure) {
            let claim = try DeviceTeardown.prepareToDetach(
                device, mountedAt: record.mountPoint, hasImage: record.image != nil, logger)
            claim.release()
            return claim
        } catch {
            // A second `down` may have been quicker.
            guard directory.current(record)?.isDetaching != false else { throw error }
            return nil
        }
    }

    /// Whether this process has the mount namespace of the supervisor. Only a process in that namespace can
    /// unmount the disk.
    private func isInOurNamespace(_ supervisor: ProcessIdentity) -> Bool {
        let own = BlockDeviceUse.mountNamespace(of: CurrentProcess.pid)
        return own == nil || BlockDeviceUse.mountNamespace(of: supervisor.pid) == own
    }

    private func hasEnded(
        _ watch: borrowing ProcessWatch, _ record: DiskRecord
    ) throws(Failure) -> Bool {
        do throws(Errno) {
            return try watch.wait(milliseconds: 100)
        } catch {
            throw .system("cannot wait for process \(record.supervisor.pid): \(error)")
        }
    }

    /// Takes a disk down whose supervisor was killed.
    private func cleanUp(_ record: DiskRecord) throws(Failure) {
        guard let device = try record.attachedDevice() else { return try remove(record) }
        var unsaved: Failure?
        let method = OrphanMethod(for: record, isWorkerRunning: record.worker?.isRunning == true)
        if method != .disconnect {
            do throws(Failure) {
                return method == .detach
                    ? try detach(device, record) : try serveAgain(device, record)
            } catch {
                guard isForced else {
                    throw Failure(
                        error.kind,
                        "\(error.sentence); --force detaches \(device) anyway, "
                            + "and loses the data that was not written")
                }
                if let image = record.image { unsaved = .unsaved(image, error.sentence) }
            }
        }
        // Memory without a backing went with the server, so nothing can be saved. A remote server may still
        // accept the data that the kernel has to write.
        var driver = try openDriver()
        let claim =
            record.remote == nil
            ? nil : try DeviceTeardown.claimAfterServer(device, isForced: isForced)
        try DeviceTeardown.disconnect(device, &driver)
        claim?.release()
        for mount in Mount.all(of: device.path) {
            DeviceTeardown.abandon(device, mountPoint: mount.point)
        }
        try remove(record)
        if let unsaved { throw unsaved }
    }

    /// The way to take down a device whose supervisor was killed.
    enum OrphanMethod: Equatable {
        /// The worker still serves: the kernel writes everything to it, then the device is detached.
        case detach
        /// The memory is still there as a backing: it is served once more, so that the kernel can write to it, and so
        /// that it can be saved to its image. A worker that still serves is ended first.
        case serveAgain
        /// The memory is gone or on another machine: the device is disconnected.
        case disconnect

        init(for record: DiskRecord, isWorkerRunning: Bool) {
            guard record.backing != nil else {
                self = .disconnect
                return
            }
            // Nobody can ask an orphaned worker for a save: only its supervisor has the channel.
            self = isWorkerRunning && record.image == nil ? .detach : .serveAgain
        }
    }

    /// Detaches a device that an orphaned worker still serves. The worker serves until the device is
    /// detached.
    private func detach(_ device: NBDDevice, _ record: DiskRecord) throws(Failure) {
        let claim = try DeviceTeardown.prepareToDetach(
            device, mountedAt: record.mountPoint, hasImage: false, logger)
        var driver = try openDriver()
        do throws(Failure) {
            try DeviceTeardown.disconnect(device, &driver)
        } catch {
            DeviceTeardown.restore(claim, logger)
            throw error
        }
        claim.release()
        try remove(record)
    }

    /// Serves the disk from its backing once more and takes it down from there, since the kernel may have
    /// more data to write to it.
    private func serveAgain(_ device: NBDDevice, _ record: DiskRecord) throws(Failure) {
        if record.worker?.isRunning == true {
            // First: a disk in use keeps its worker. Afterwards the memory has everything, even if taking over fails.
            try DeviceTeardown.prepareToDetach(
                device, mountedAt: record.mountPoint, hasImage: record.image != nil, logger
            ).release()
        }
        let timeouts = KernelDiskConfiguration.timeouts(outlivesServer: true)
        let plan = KernelDiskConfiguration(
            disk: DiskConfiguration(
                name: "", size: nil, isSparse: !record.usesReservedPages, isReadOnly: false,
                load: nil, usesReservedPages: record.usesReservedPages, backing: record.backing,
                image: record.image.map { ImageConfiguration(path: $0) }),
            fileSystem: .none, device: nil, queues: record.queues,
            requestTimeout: timeouts.request, deadConnectionTimeout: timeouts.deadConnection)
        let stop: SupervisorMailbox
        do throws(Errno) {
            stop = try SupervisorMailbox()
        } catch {
            throw .system("cannot create an event descriptor: \(error)")
        }
        let disk = try KernelDisk(plan, logger: logger, stop: stop)
        disk.closingTimeLimit = Self.closingTimeLimit
        do throws(Failure) {
            try disk.bringUp()
            try disk.takeDown()
        } catch {
            if disk.takenOver == nil { disk.takeDownEventually() } else { disk.leaveAsFound() }
            // A server has later mappings populated. `down --force` opens the memory once more, to remove it, and would
            // allocate all of a sparse disk.
            try? MemoryPressure.lockProcess()
            throw error
        }
        if disk.isLost {
            throw .unavailable(
                "another program has detached \(record.device?.path ?? "the device")")
        }
    }

    /// Removes what is left when the device is gone: the worker, the backing, the mount point and the records.
    private func remove(_ record: DiskRecord) throws(Failure) {
        try OrphanedDisk.endWorker(of: record)
        if let backing = record.backing, !backing.isKept { try free(backing, record) }
        if let point = record.mountPoint {
            Directory.removeEmpty(point, levels: record.madeDirectories)
        }
        for other in directory.records where isOfSameDisk(other, record) {
            directory.remove(other)
        }
        directory.remove(record)
    }

    /// Whether a record describes the disk of `record` too, and no other process looks after that disk: this process
    /// writes such a record when it serves the disk again, and leaves it when the disk cannot be saved.
    private func isOfSameDisk(_ other: DiskRecord, _ record: DiskRecord) -> Bool {
        guard let identifier = record.identifier, other.identifier == identifier else {
            return false
        }
        // A remote server's export may be attached to several devices, each with a record.
        return (record.remote == nil || other.device == record.device)
            && (other.supervisor == .current || !other.supervisor.isRunning)
    }

    /// Removes the backing. When a supervisor is killed before it has written its new worker to the record,
    /// that worker may hold the backing for a little longer.
    private func free(_ backing: BackingConfiguration, _ record: DiskRecord) throws(Failure) {
        let deadline = MonotonicTime.now().adding(milliseconds: Self.strayWorkerTimeLimit)
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
                Thread.sleep(milliseconds: 50)
            }
        }
    }
}
