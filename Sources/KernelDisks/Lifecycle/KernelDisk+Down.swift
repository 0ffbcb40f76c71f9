internal import ServerHost
package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import SystemPackage

extension KernelDisk {
    /// Takes the disk down, however long that has to wait for what uses it. It may have what is nowhere else, so
    /// it stays up until it can go, and a wish to stop is remembered.
    package func takeDownEventually() {
        logger.log(level: isUp ? .info : .debug, "stopping")
        var told = ""
        while true {
            do throws(Failure) {
                return try takeDown()
            } catch {
                // A disk that has to stay is looked after, and its log with it.
                LogHold.end()
                if error.sentence != told {
                    logger.error("\(error.sentence); this is tried again every second")
                    told = error.sentence
                }
            }
            // The wish is known. Another one is a reason to try again at once.
            _ = stop.take()
            attend(milliseconds: 1_000)
        }
    }

    /// Unmounts, detaches, stops and frees, in this order, and each only when the one before is done. When the
    /// disk is in use, or that cannot be found out, this throws and has changed nothing.
    package func takeDown() throws(Failure) {
        if !isLost, let device = record.device, let identifier = record.identifier {
            if try device.requireBackend() == identifier {
                try detach(device)
                return finish()
            }
            lose(device)
        }
        if isLost, let device = record.device, let point = record.mountPoint {
            // There is nothing that could still be written.
            DeviceTeardown.abandon(device, mountPoint: point)
        }
        finish()
    }

    /// Ends without touching a device that was found: it goes on waiting for a server.
    package func leaveAsFound() {
        links = nil
        backend?.stop(isKept: true)
        backend = nil
        if takenOver == nil || record.device != takenOver?.device {
            directory.remove(record, living: takenOver)
        }
    }

    private func detach(_ device: NBDDevice) throws(Failure) {
        let point = record.mountPoint
        let logger = logger
        let claim = try runWhilePolling { () throws(Failure) in
            try DeviceTeardown.release(device, mountedAt: point, logger)
        }
        do throws(Failure) {
            try DeviceTeardown.disconnect(device, &driver)
        } catch {
            try? runWhilePolling { () throws(Failure) in DeviceTeardown.restore(claim, logger) }
            throw error
        }
        // From here on the disk is down, whoever has the device open.
        links = nil
        claim.end()
        guard !DeviceTeardown.awaitEnd(of: device, milliseconds: 500) else { return }
        record.isDetaching = true
        try? writeRecord()
        stopBackend()
        awaitClosing(device)
    }

    /// Waits for the users of a detached device, and says who they are. Another wish to stop ends that.
    private func awaitClosing(_ device: NBDDevice) {
        var told = ""
        _ = stop.take()
        let deadline = closingPatience.map { MonotonicTime.now().adding(milliseconds: $0) }
        while !DeviceTeardown.awaitEnd(of: device, milliseconds: 0), !stop.take() {
            if let deadline, deadline < .now() { return }
            let reason = DeviceTeardown.reason(whyHeld: device)
            LogHold.end()
            if reason != told {
                logger.log(
                    level: closingPatience == nil ? .notice : .warning,
                    "the device is detached, and stays \(reason)",
                    metadata: ["device": "\(device)"])
                told = reason
            }
            _ = try? PollSource.poll([stop.item], milliseconds: 200)
            stop.clear()
        }
    }

    private func stopBackend() {
        // What was found before a start that failed is not this process's to free.
        let wasFound = backend?.start.wasFound == true
        let isWanted = plan.disk.backing?.isKept == true
        backend?.stop(isKept: isUp ? isWanted : wasFound)
        backend = nil
    }

    private func finish() {
        links = nil
        stopBackend()
        if let point = record.mountPoint {
            Directory.removeEmpty(point, levels: record.madeDirectories)
        }
        directory.remove(record)
        logger.log(level: isUp ? .info : .debug, "stopped")
    }
}
