internal import ServerHost
internal import ProgramSupport
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import SystemPackage

/// A device that is still attached although its server is dead. The next `up` serves it again, or `down` takes it down.
struct OrphanedDisk {
    let device: NBDDevice
    /// The record of the dead supervisor; nil when only the user says that it is dead.
    let record: DiskRecord?

    /// The number of connections that the device had.
    var queues: Int? { record?.queues }

    /// Milliseconds that a worker without a supervisor gets to end.
    private static let workerTimeLimit = 30_000

    /// Ends the workers that dead supervisors of the wanted backing have left, and returns the records of
    /// these supervisors.
    ///
    /// - Throws: when the supervisor of that backing lives, or the request does not fit the device that is
    ///   attached already.
    static func endOrphanedWorkers(
        of plan: KernelDiskConfiguration, _ directory: RuntimeDirectory
    ) throws(Failure) -> [DiskRecord] {
        guard let path = plan.disk.backingPath else { return [] }
        let records = directory.records.filter { $0.backingPath == path }
        if let living = records.first(where: \.supervisor.isRunning) {
            let device = living.device?.path ?? "no device yet"
            throw .unavailable(
                living.isDetaching
                    ? "the disk is being taken down: \(device) stays until nothing has it open"
                    : "the disk is up already, at \(device) (process \(living.supervisor.pid)): take it "
                        + "down first, or choose another --backing")
        }
        // An impossible request is refused before any worker is ended, while the worker of the dead
        // supervisor still serves.
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
    ///   - identifier: says which memory it is. This process holds that memory exclusively.
    ///   - records: the records of dead supervisors.
    /// - Throws: when the device is not known to be an orphan, or is not the wanted one.
    static func find(
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
        // This process holds the memory exclusively, so the old server is dead. But a supervisor may live in another
        // container and be about to start the next worker.
        guard record != nil || plan.isForced else {
            throw .unavailable(
                "\(device) is attached to this memory, and no record here says that its supervisor is dead: another "
                    + "container may look after it; --force takes it over")
        }
        if let wanted = plan.device, wanted != device {
            throw .unavailable(
                "the disk is attached to \(device) already, not to \(wanted): "
                    + "choose that, or take it down first")
        }
        logger.notice(
            "attaching a device again whose server is dead",
            metadata: ["device": "\(device)"])
        return OrphanedDisk(device: device, record: record)
    }

    /// Ends a worker that has lost its supervisor. The worker keeps the memory if it is a backing.
    static func endWorker(of record: DiskRecord) throws(Failure) {
        guard let worker = record.worker, let watch = ProcessWatch(worker) else { return }
        worker.signal(SIGTERM)
        do throws(Errno) {
            guard try watch.wait(milliseconds: workerTimeLimit) else {
                worker.signal(SIGKILL)
                _ = try watch.wait(milliseconds: workerTimeLimit)
                return
            }
        } catch {
            throw .system("cannot wait for worker process \(worker.pid) to end: \(error)")
        }
    }
}
