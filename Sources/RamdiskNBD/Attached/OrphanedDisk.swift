// A disk whose owner is gone: what it has left, for the next owner or for `down`.

internal import Glibc
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import SystemPackage

/// A device that is attached to a server of the same disk that is gone.
struct OrphanedDisk {
    let device: NBDDevice
    /// Nil when the owner's record is gone too.
    let record: DiskRecord?

    /// How many connections it had.
    var queues: Int? { record?.queues }

    /// Milliseconds for a worker without a supervisor to end.
    private static let patience = 30_000

    /// Finds the device that a server of the wanted disk has left, and ends what is left of that
    /// server. Nil when there is none; throws when the disk or the device is somebody's.
    static func takeOver(
        _ plan: AttachedPlan, _ directory: RuntimeDirectory, _ logger: Logger
    ) throws(Failure) -> OrphanedDisk? {
        let records = directory.records.filter { $0.identifier == plan.identifier }
        if let living = records.first(where: \.owner.isRunning) {
            throw .unavailable(
                "the disk is up already, at \(living.device?.path ?? "no device yet") "
                    + "(process \(living.owner.number)): take it down first, or choose another "
                    + "--backing")
        }
        for record in records { try endWorker(of: record) }
        let device = NBDDevice.all.first { $0.backend == plan.identifier }
        guard let device else {
            for record in records { directory.remove(record) }
            return nil
        }
        if let wanted = plan.device, wanted != device {
            throw .unavailable(
                "the disk is attached to \(device) already, not to \(wanted): "
                    + "choose that, or take it down first")
        }
        logger.notice(
            "the device was left by a server that is gone; it is attached again",
            metadata: ["device": "\(device)"])
        return OrphanedDisk(device: device, record: records.first)
    }

    /// Has a worker end that has lost its supervisor. It keeps the memory, if that has a name.
    static func endWorker(of record: DiskRecord) throws(Failure) {
        guard let worker = record.worker, let watch = ProcessWatch(worker) else { return }
        worker.signal(SIGTERM)
        do throws(Errno) {
            guard try watch.wait(milliseconds: patience) else {
                worker.signal(SIGKILL)
                _ = try watch.wait(milliseconds: patience)
                return
            }
        } catch {
            throw .system("cannot wait for the end of process \(worker.number): \(error)")
        }
    }
}
