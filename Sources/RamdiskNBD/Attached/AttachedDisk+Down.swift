// Taking a disk down, in order or because a step of its start failed.

internal import LinuxIO
internal import Logging
internal import NBDKernel

extension AttachedDisk {
    /// Unmounts, detaches, stops and frees, in this order. Throws, and changes nothing that matters,
    /// when the disk is in use.
    func takeDown() throws(Failure) {
        logger.info("stopping")
        if let device = record.device, device.backend == record.identifier {
            let mountPoint = record.mountPoint
            try whileAttending { () throws(Failure) in
                if let mountPoint {
                    try FileSystemPlan.unmount(device.path, from: mountPoint)
                }
                try DeviceEnd.settle(device)
            }
            try DeviceEnd.disconnect(device, &driver)
        } else if let device = record.device, let point = record.mountPoint {
            // Somebody else has detached it: there is nothing that could still be written.
            DeviceEnd.abandon(device, mountPoint: point)
        }
        finish(isKept: isKept)
        logger.info("stopped")
    }

    /// The same after a step of the start has failed. A disk that was there before is left as it was
    /// found: its memory stays, and a device that waits for a server goes on waiting.
    func undo() {
        let wasFound = backend?.start.wasFound ?? false
        guard !isTakenOver else { return finish(isKept: true, isRecordKept: true) }
        if let device = record.device, device.backend == record.identifier {
            if let point = record.mountPoint {
                _ = try? FileSystemPlan.unmount(device.path, from: point)
            }
            do throws(Failure) {
                try DeviceEnd.disconnect(device, &driver)
            } catch {
                logger.error("\(error.sentence)")
            }
        }
        finish(isKept: wasFound || isKept)
    }

    private var isKept: Bool { plan.disk.backing?.isKept ?? false }

    private func finish(isKept: Bool, isRecordKept: Bool = false) {
        links = nil
        backend?.stop(isKept: isKept)
        backend = nil
        guard !isRecordKept else { return }
        if record.madeMountPoint, let point = record.mountPoint { Directory.removeEmpty(point) }
        directory.remove(record)
    }
}
