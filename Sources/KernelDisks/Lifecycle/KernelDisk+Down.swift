internal import ServerHost
internal import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import SystemPackage

extension Failure {
    /// A disk was taken down although it could not be saved to its image.
    ///
    /// - Parameter isCertain: false when another process took it down, and may have saved it after all.
    static func unsaved(_ image: String, _ reason: String, isCertain: Bool = true) -> Failure {
        let isLost = isCertain ? "is lost" : "may be lost"
        return .inputOutput(
            "the disk is down, and what was written to it after the last save to \(image) \(isLost): \(reason)"
        )
    }
}

extension KernelDisk {
    /// Takes the disk down, and waits for as long as something uses it. The disk may hold the only copy of
    /// its data, so it stays up until it can be taken down, and the request to stop is remembered.
    func takeDownEventually() {
        logger.log(level: isUp ? .info : .debug, "stopping")
        var lastReason = ""
        while true {
            do throws(Failure) {
                return try takeDown()
            } catch {
                // The disk stays up for now, and this process continues to look after it, so its log must be visible.
                LogHold.end()
                if error.sentence != lastReason {
                    logger.error("\(error.sentence); trying again every second")
                    lastReason = error.sentence
                }
            }
            // This request is being carried out. Another one makes this thread try again at once.
            _ = stop.takeStopRequest()
            poll(milliseconds: 1_000)
        }
    }

    /// Unmounts, detaches, stops the server and frees the memory, in this order. Each step begins only when
    /// the one before it is done. When the disk is in use, or its users cannot be determined, this throws and
    /// has changed nothing.
    func takeDown() throws(Failure) {
        if !isLost, let device = record.device, let identifier = record.identifier {
            if try device.requireBackend() == identifier {
                try detach(device)
                return finish()
            }
            markLost(device)
        }
        if isLost, let device = record.device, let point = record.mountPoint {
            // Nothing can be written to the device any more.
            DeviceTeardown.abandon(device, mountPoint: point)
        }
        finish()
    }

    /// Ends without touching a device that was attached before this start: the device continues to wait for a server.
    func leaveAsFound() {
        connections = nil
        server?.stop(isKept: true)
        server = nil
        if takenOver == nil || record.device != takenOver?.device {
            directory.remove(record, living: takenOver)
        }
    }

    private func detach(_ device: NBDDevice) throws(Failure) {
        let point = record.mountPoint
        let hasImage = plan.disk.image != nil
        let logger = logger
        // A disk that could not be saved stays mounted until it can be: programs can use it until then. With --force it
        // need not stay, and what counts is the save after it is unmounted.
        if failedSaves != nil, !stop.isUnsavedTakeDownRequested { try save(whileMounted: true) }
        let claim = try runWhilePolling { () throws(Failure) in
            try DeviceTeardown.prepareToDetach(
                device, mountedAt: point, hasImage: hasImage, logger)
        }
        do throws(Failure) {
            // Everything is on the disk now, and its file system is clean.
            try save(whileMounted: false)
            // The record says so before the claim is released: a second `down` that waits for the claim then finds
            // out why the device is gone.
            markDetaching(true)
            try DeviceTeardown.disconnect(device, &driver)
        } catch {
            markDetaching(false)
            try? runWhilePolling { () throws(Failure) in DeviceTeardown.restore(claim, logger) }
            server?.setMountPoint(record.mountPoint)
            throw error
        }
        // From here on the disk is down, even if a process has the device open. The claim is released first of all: a
        // process that opens the device until then has the kernel look for partitions, which logs errors.
        claim.release()
        connections = nil
        guard !DeviceTeardown.awaitEnd(of: device, milliseconds: 500) else { return }
        stopServer()
        awaitClosing(device)
    }

    private func markDetaching(_ isDetaching: Bool) {
        guard record.isDetaching != isDetaching else { return }
        record.isDetaching = isDetaching
        try? writeRecord()
    }

    /// Saves the disk to its image, if it has one, while this thread continues to look after the disk. Returns also
    /// when that fails, if `down --force` has asked to take the disk down all the same.
    private func save(whileMounted isMounted: Bool) throws(Failure) {
        // A failed start may have left half a file system, and no program has used the disk.
        guard let server, plan.disk.image != nil, isUp else { return }
        server.setMountPoint(isMounted ? record.mountPoint : nil)
        let deadline = TimeoutExtension()
        defer { deadline.end() }
        server.beginSave()
        while server.saveOutcome == nil {
            wait(for: [stop.pollSource])
            stop.clear()
            pollOnce()
        }
        guard case .failure(let error)? = server.saveOutcome else {
            failedSaves = nil
            return
        }
        try note(error)
    }

    /// Records that the disk could not be saved, and throws the reason, unless the disk must be taken down all the
    /// same.
    private func note(_ error: Failure) throws(Failure) {
        let count = (failedSaves?.count ?? 0) + 1
        failedSaves = (count, error)
        // A `down` that waits for this process reports the reason. Other errors are mostly temporary, such as a worker
        // that is restarted.
        if error.kind == .inputOutput || count >= Self.passingFailures {
            record.failedSave = DiskRecord.FailedSave(
                count: (record.failedSave?.count ?? 0) + 1, sentence: error.sentence)
            try? writeRecord()
        }
        guard unsaved == nil else {
            return logger.error("the disk is taken down without a save: \(error.sentence)")
        }
        throw Failure(error.kind, "the disk is not saved, so it stays up: \(error.sentence)")
    }

    /// The number of failed saves, one per second, after which a temporary error counts as permanent.
    private static var passingFailures: Int { 10 }

    /// The reason for taking the disk down without a save; nil when it is saved or must be.
    var unsaved: Failure? {
        guard let image = plan.disk.image?.path, let error = failedSaves?.last,
            stop.isUnsavedTakeDownRequested
        else { return nil }
        return .unsaved(image, error.sentence)
    }

    /// Waits until no process has a detached device open, and logs which processes have. Another request to
    /// stop ends the wait.
    private func awaitClosing(_ device: NBDDevice) {
        var lastReason = ""
        _ = stop.takeStopRequest()
        let deadline = closingTimeLimit.map { MonotonicTime.now().adding(milliseconds: $0) }
        while !DeviceTeardown.awaitEnd(of: device, milliseconds: 0), !stop.takeStopRequest() {
            if let deadline, deadline < .now() { return }
            let reason = DeviceTeardown.reason(whyHeld: device)
            LogHold.end()
            if reason != lastReason {
                logger.log(
                    level: closingTimeLimit == nil ? .notice : .warning,
                    "the device is detached, and stays \(reason)",
                    metadata: ["device": "\(device)"])
                lastReason = reason
            }
            _ = try? PollSource.poll([stop.pollSource], milliseconds: 200)
            stop.clear()
        }
    }

    private func stopServer() {
        // When the start has failed, this process keeps memory that it has found.
        let wasFound = server?.start.wasFound == true
        let isWanted = plan.disk.backing?.isKept == true
        server?.stop(isKept: isUp ? isWanted : wasFound)
        server = nil
    }

    private func finish() {
        connections = nil
        stopServer()
        if let point = record.mountPoint {
            Directory.removeEmpty(point, levels: record.madeDirectories)
        }
        directory.remove(record)
        logger.log(level: isUp ? .info : .debug, "stopped")
    }
}
