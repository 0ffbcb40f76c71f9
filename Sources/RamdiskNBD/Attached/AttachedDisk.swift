// A disk from memory to a mounted file system, as long as it is wanted.

internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import SystemPackage

/// Brings a disk up, looks after it, and takes it down. Used by one thread.
///
/// What has been done is written in the record before others could need to know it, so that a disk
/// whose owner was killed at any moment can be taken down by `ramdisk-nbd down`.
final class AttachedDisk {
    let plan: AttachedPlan
    let logger: Logger
    let stop: StopRequest
    let directory: RuntimeDirectory
    var record: DiskRecord
    var driver: NBDDriver
    var backend: (any DiskBackend)?
    var links: DeviceLinks?
    /// Whether the device was there before, with whatever the kernel has to write to it.
    var isTakenOver = false

    /// Nothing is done yet but that the driver is there.
    init(_ plan: AttachedPlan, logger: Logger, stop: StopRequest) throws(Failure) {
        guard Privileges.canAdminister else { throw .driver(.notPermitted) }
        self.plan = plan
        self.logger = logger
        self.stop = stop
        driver = try openDriver()
        directory = try RuntimeDirectory.make()
        record = DiskRecord(owner: .current, identifier: plan.identifier)
        record.backing = plan.disk.backing
        record.usesReservedPages = plan.disk.usesReservedPages
        record.log = plan.log
        record.queues = plan.queues
    }

    /// Everything from nothing to nothing; `ready` is told the device and the mount point.
    func run(ready: (NBDDevice, String?) -> Void) throws(Failure) {
        do throws(Failure) {
            try bringUp()
        } catch {
            undo()
            throw error
        }
        guard let device = record.device, !stop.isSet else { return undo() }
        ready(device, record.mountPoint)
        while true {
            try attendUntilStop()
            do throws(Failure) {
                return try takeDown()
            } catch {
                // The disk may have what is nowhere else: it stays until it can be taken down.
                logger.error("\(error.sentence)")
            }
        }
    }

    // MARK: - Up

    func bringUp() throws(Failure) {
        let left = try OrphanedDisk.takeOver(plan, directory, logger)
        try directory.write(record)
        let backend = try makeBackend()
        self.backend = backend
        record.worker = backend.worker
        try directory.write(record)
        guard !stop.isSet else { return }
        try attach(backend, left)
        guard !stop.isSet, let device = record.device else { return }
        try putFileSystem(on: device, backend)
    }

    private func makeBackend() throws(Failure) -> any DiskBackend {
        if let command = plan.worker {
            return try SupervisedBackend(command, logger: logger)
        }
        return try LocalBackend(plan.disk, plan.serving, logger: logger, stop: stop)
    }

    /// Attaches the first free device or the one that is wanted; or again the one that another server
    /// of the same disk has left.
    private func attach(_ backend: any DiskBackend, _ left: OrphanedDisk?) throws(Failure) {
        let began = MonotonicTime.now()
        var connections: [BackendConnection] = []
        for _ in 0..<(left?.queues ?? plan.queues) { connections.append(try backend.connect()) }
        let options = NBDDeviceOptions(
            connections[0].connection.export, requestTimeout: plan.requestTimeout,
            deadConnectionTimeout: plan.deadConnectionTimeout, backend: plan.identifier,
            sectorSize: backend.start.sectorSize)
        record.size = options.size
        if let left {
            try attachAgain(left, connections, options)
        } else {
            let device: NBDDevice
            do throws(Errno) {
                device = try driver.connect(
                    connections.map(\.connection), to: plan.device, options)
            } catch {
                throw .attaching(plan.device, error)
            }
            record.device = device
            links = DeviceLinks(device, connections, options, isOffered: false, logger: logger)
        }
        let microseconds = (MonotonicTime.now().nanoseconds - began.nanoseconds) / 1000
        CurrentProcess.markAsStorage()
        try directory.write(record)
        logger.info(
            "attached",
            metadata: [
                "device": "\(record.device?.path ?? "-")", "queues": "\(connections.count)",
                "microseconds": "\(microseconds)",
            ])
    }

    /// The kernel takes new connections as soon as it has noticed the end of the old ones.
    private func attachAgain(
        _ left: OrphanedDisk, _ connections: [BackendConnection], _ options: NBDDeviceOptions
    ) throws(Failure) {
        guard backend?.start.wasFound == true else {
            throw .unavailable(
                "the memory of the disk that is attached to \(left.device) is gone: "
                    + "take it down first, with ramdisk-nbd down --force \(left.device)")
        }
        guard left.device.size == options.size / 512 * 512 else {
            throw .unavailable(
                "\(left.device) has \(left.device.size) bytes and the disk \(options.size): "
                    + "take it down first, with ramdisk-nbd down \(left.device)")
        }
        let links = DeviceLinks(
            left.device, connections, options, isOffered: true, logger: logger)
        let deadline = MonotonicTime.now().adding(milliseconds: 10_000)
        while links.liveCount < connections.count, .now() < deadline {
            try attend(links)
            if links.liveCount > 0, links.liveCount < connections.count {
                // The device may have fewer queues: what is not taken soon is not wanted.
                MonotonicTime.now().adding(milliseconds: 100).sleep()
                try attend(links)
                links.dropOffered()
                break
            }
            MonotonicTime.now().adding(milliseconds: 20).sleep()
        }
        guard links.liveCount > 0 else {
            throw .unavailable("the kernel does not attach \(left.device) again")
        }
        isTakenOver = true
        record.device = left.device
        record.mountPoint = left.record?.mountPoint
        record.madeMountPoint = left.record?.madeMountPoint ?? false
        record.fileSystem = left.record?.fileSystem
        if let old = left.record { directory.remove(old) }
        self.links = links
    }

    /// Only a blank disk gets a new file system; only one that is not mounted is mounted.
    private func putFileSystem(
        on device: NBDDevice, _ backend: any DiskBackend
    ) throws(Failure) {
        let fileSystem = plan.fileSystem
        let isNew = backend.start.isBlank && fileSystem.kind != .none && record.mountPoint == nil
        if isNew {
            try whileAttending { () throws(Failure) in try fileSystem.make(on: device.path) }
        }
        guard !stop.isSet else { return }
        record.fileSystem = isNew ? fileSystem.kind.rawValue : record.fileSystem
        guard let point = fileSystem.mountPoint,
            !Mount.all(of: device.path).contains(where: { $0.point == point })
        else { return }
        // Written down before: who takes it down looks whether it is mounted.
        record.mountPoint = point
        try directory.write(record)
        record.madeMountPoint = try whileAttending { () throws(Failure) in
            try fileSystem.mount(device.path, isNew: isNew)
        }
        record.fileSystem = Mount.all(of: device.path).first { $0.point == point }?.type
        try directory.write(record)
    }
}
