internal import ServerHost
package import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
package import Logging
package import NBDKernel
internal import SystemPackage

/// A device that is attached to memory whose server is gone: for the next `up` to serve again, or for `down`.
package struct OrphanedDisk {
    package let device: NBDDevice
    /// What the dead owner has written down; nil when the user has said that it is dead.
    package let record: DiskRecord?

    /// How many connections it had.
    package var queues: Int? { record?.queues }

    /// Milliseconds for a worker without a supervisor to end.
    private static let patience = 30_000

    /// Ends what is left of dead servers of the wanted backing, and returns their records.
    ///
    /// - Throws: when the server of that backing, or a mount at the wanted mount point, lives.
    package static func endDeadServers(
        of plan: KernelDiskConfiguration, _ directory: RuntimeDirectory
    ) throws(Failure) -> [DiskRecord] {
        guard let place = plan.disk.backingPath else { return [] }
        let records = directory.records.filter { $0.backingPath == place }
        if let living = records.first(where: \.owner.isRunning) {
            let device = living.device?.path ?? "no device yet"
            throw .unavailable(
                living.isDetaching
                    ? "the disk is being taken down: \(device) stays until nothing has it open"
                    : "the disk is up already, at \(device) (process \(living.owner.pid)): take it "
                        + "down first, or choose another --backing")
        }
        // What cannot be, is refused while the worker of a dead owner still serves.
        for record in records {
            guard let device = try record.attachedDevice() else { continue }
            if let size = plan.disk.size, size / 512 != record.size / 512 {
                throw .noInput(
                    "the disk that is attached to \(device) has \(record.size) bytes, not \(size)")
            }
            if let wanted = plan.device, wanted != device {
                throw .unavailable(
                    "the disk is attached to \(device) already, not to \(wanted): "
                        + "choose that, or take it down first")
            }
        }
        for record in records { try endWorker(of: record) }
        return records
    }

    /// Finds the device that is attached to this memory already; nil when there is none.
    ///
    /// - Parameters:
    ///   - identifier: tells which memory it is, which this process has for itself.
    ///   - records: of owners that are dead.
    /// - Throws: when the device is not known to be an orphan, or is not the one that is wanted.
    package static func find(
        _ identifier: String, _ records: [DiskRecord], _ plan: KernelDiskConfiguration,
        _ logger: Logger
    ) throws(Failure) -> OrphanedDisk? {
        for stale in records where stale.identifier != identifier {
            guard let device = try stale.attachedDevice() else { continue }
            throw .unavailable(
                "the memory of the disk that is attached to \(device) is gone: take it down first, with "
                    + "ramdisk-nbd down --force \(device)")
        }
        guard let device = NBDDevice.all.first(where: { $0.isAttached(as: identifier) }) else {
            return nil
        }
        let record = records.first { $0.identifier == identifier }
        // The memory is this process's alone, so the old server is gone. But an owner may live in another
        // container, and is about to start the next server.
        guard record != nil || plan.isForced else {
            throw .unavailable(
                "\(device) is attached to this memory, and no record here says that its owner is gone: it may "
                    + "be looked after in another container; --force takes it over")
        }
        if let wanted = plan.device, wanted != device {
            throw .unavailable(
                "the disk is attached to \(device) already, not to \(wanted): "
                    + "choose that, or take it down first")
        }
        logger.notice(
            "the device was left by a server that is gone; it is attached again",
            metadata: ["device": "\(device)"])
        return OrphanedDisk(device: device, record: record)
    }

    /// Ends a worker that has lost its supervisor. The worker keeps the memory, if that has a name.
    package static func endWorker(of record: DiskRecord) throws(Failure) {
        guard let worker = record.worker, let watch = ProcessWatch(worker) else { return }
        worker.signal(SIGTERM)
        do throws(Errno) {
            guard try watch.wait(milliseconds: patience) else {
                worker.signal(SIGKILL)
                _ = try watch.wait(milliseconds: patience)
                return
            }
        } catch {
            throw .system("cannot wait for the end of process \(worker.pid): \(error)")
        }
    }
}
