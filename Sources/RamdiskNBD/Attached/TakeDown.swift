// What `down` does with a disk, whoever is left of those who brought it up.

internal import Glibc
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import NBDServer
internal import SystemPackage

/// Takes a disk down that another process has brought up.
struct TakeDown {
    let directory: RuntimeDirectory
    let logger: Logger
    /// Whether a device may go whose disk cannot be served again.
    let isForced: Bool

    /// Milliseconds for the owner to do its part; it may have a lot to write.
    private static let patience = 60_000

    /// Milliseconds for a worker without a supervisor to see that it is of no use.
    private static let strayPatience = 10_000

    /// Back when nothing of it is left.
    func callAsFunction(_ record: DiskRecord) throws(Failure) {
        if let owner = ProcessWatch(record.owner) {
            try end(owner, record)
        } else {
            try cleanUp(record)
        }
    }

    /// The owner looks after the device until nothing has to be written any more; then it ends.
    private func end(
        _ watch: borrowing ProcessWatch, _ record: DiskRecord
    ) throws(Failure) {
        if let device = record.attachedDevice {
            if let point = record.mountPoint {
                try FileSystemPlan.unmount(device.path, from: point)
            }
            try DeviceEnd.settle(device)
        }
        record.owner.signal(SIGTERM)
        let hasEnded: Bool
        do throws(Errno) {
            hasEnded = try watch.wait(milliseconds: Self.patience)
        } catch {
            throw .system("cannot wait for process \(record.owner.number): \(error)")
        }
        guard hasEnded else {
            throw .unavailable(
                "process \(record.owner.number) does not take its disk down; its log says why")
        }
    }

    /// The owner was killed.
    private func cleanUp(_ record: DiskRecord) throws(Failure) {
        guard let device = record.attachedDevice else { return try remove(record) }
        if record.backing != nil {
            do throws(Failure) {
                return try serveAgain(record)
            } catch {
                guard isForced else {
                    throw Failure(
                        sentence: "\(error.sentence); with --force \(device) is detached all the "
                            + "same, and what was not written is lost",
                        exitCode: error.exitCode)
                }
            }
        }
        // What was in the server's own memory went with it: nothing can be saved.
        var driver = try openDriver()
        do throws(Errno) {
            try driver.disconnect(device)
        } catch {
            throw .detaching(device, error)
        }
        for mount in Mount.all(of: device.path) {
            DeviceEnd.abandon(device, mountPoint: mount.point)
        }
        try remove(record)
    }

    /// The disk is in its backing, and the kernel may have more to write to it: it is served once
    /// more, to be taken down in order.
    private func serveAgain(_ record: DiskRecord) throws(Failure) {
        let timeouts = AttachedPlan.timeouts(outlivesServer: true)
        let plan = AttachedPlan(
            disk: DiskPlan(
                name: "", size: nil, isSparse: !record.usesReservedPages, isReadOnly: false,
                load: nil, usesReservedPages: record.usesReservedPages, backing: record.backing),
            fileSystem: FileSystemPlan(
                kind: .none, makeOptions: [], mountPoint: nil, mountOptions: nil,
                isReadOnly: false),
            device: nil, queues: record.queues, requestTimeout: timeouts.request,
            deadConnectionTimeout: timeouts.deadConnection, worker: nil, log: nil)
        let stop: StopRequest
        do throws(Errno) {
            stop = try StopRequest()
        } catch {
            throw .system("cannot make a descriptor: \(error)")
        }
        let disk = try AttachedDisk(plan, logger: logger, stop: stop)
        do throws(Failure) {
            try disk.bringUp()
            try disk.takeDown()
        } catch {
            disk.undo()
            throw error
        }
    }

    /// What is left when no device is: a worker, memory with a name, a mount point, the record.
    private func remove(_ record: DiskRecord) throws(Failure) {
        try OrphanedDisk.endWorker(of: record)
        if let backing = record.backing, !backing.isKept { try free(backing, record) }
        if record.madeMountPoint, let point = record.mountPoint { Directory.removeEmpty(point) }
        directory.remove(record)
    }

    /// Takes the memory's name away. A worker that nobody has heard of yet, because its supervisor was
    /// killed in that moment, may have it for a little while more.
    private func free(_ backing: BackingPlan, _ record: DiskRecord) throws(Failure) {
        let deadline = MonotonicTime.now().adding(milliseconds: Self.strayPatience)
        while true {
            do throws(Failure) {
                return try backing.makeDisk(
                    size: nil, isSparse: !record.usesReservedPages,
                    usesReservedPages: record.usesReservedPages, logger: logger
                ).remove()
            } catch {
                guard error.exitCode == Failure.unavailable("").exitCode, .now() < deadline else {
                    throw error
                }
                MonotonicTime.now().adding(milliseconds: 50).sleep()
            }
        }
    }
}
