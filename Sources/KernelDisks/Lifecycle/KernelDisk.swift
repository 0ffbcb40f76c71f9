internal import ServerHost
package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
package import Logging
package import NBDKernel
internal import NBDProtocol
internal import SystemPackage

/// Brings a disk up, looks after it, and takes it down. Used by one thread.
///
/// What has been done is written in the record before others could need to know it, so that a disk
/// whose owner was killed at any moment can be taken down by `ramdisk-nbd down`.
package final class KernelDisk {
    package let plan: KernelDiskConfiguration
    package let logger: Logger
    package let stop: SupervisorMailbox
    package let directory: RuntimeDirectory
    package var record: DiskRecord
    package var driver: NBDDriver
    package var backend: (any DiskServer)?
    package var links: DeviceConnections?
    /// What the former owner has left, when the device was there before.
    package var takenOver: DiskRecord?
    /// Whether this process looks after the device when it is attached.
    private var isKeeper = true
    /// Whether the start has come to its end.
    package var isUp = false
    /// Milliseconds to wait for users of the device when it is detached; nil: until they have closed it.
    package var closingPatience: Int?
    /// Whether another program has detached the device, or the kernel has given it up.
    package var isLost = false

    /// Nothing is done yet but that the driver is there.
    package init(_ plan: KernelDiskConfiguration, logger: Logger, stop: SupervisorMailbox)
        throws(Failure)
    {
        guard Privileges.canAdminister else { throw .driver(.notPermitted) }
        self.plan = plan
        self.logger = logger
        self.stop = stop
        driver = try openDriver()
        directory = try RuntimeDirectory.make()
        record = DiskRecord(owner: .current)
        record.backing = plan.disk.backing
        record.usesReservedPages = plan.disk.usesReservedPages
        record.remote = plan.remote?.description
        record.log = plan.log
        record.queues = plan.queues
    }

    /// Everything from nothing to nothing; `ready` is told the device and the mount point.
    ///
    /// - Throws: when the start was not completed, or the device was lost. The disk is down then as well.
    package func run(ready: (NBDDevice, String?) -> Void) throws(Failure) {
        do throws(Failure) {
            try bringUp()
        } catch {
            // What was found is left as it was, unless a signal asks for its end.
            let isOrderly = takenOver == nil || (stop.isSet && record.device != nil)
            if isOrderly { takeDownEventually() } else { leaveAsFound() }
            throw error
        }
        if let device = record.device { ready(device, record.mountPoint) }
        pollUntilStop()
        takeDownEventually()
        if isLost {
            throw .unavailable(
                "\(record.device?.path ?? "the device") was detached by another program, or had no server for "
                    + "too long")
        }
    }

    /// Attaches, and leaves the device to the kernel. There is no record of it: nobody looks after it.
    package func attachOnly() throws(Failure) -> NBDDevice {
        isKeeper = false
        let backend = try makeBackend()
        self.backend = backend
        record.identifier = backend.identifier
        let left = try findOrphan(backend, [])
        do throws(Failure) {
            let device = try attach(backend, left)
            try requireNoStop()
            return device
        } catch {
            if left == nil, let device = record.device {
                try? DeviceTeardown.disconnect(device, &driver)
            }
            throw error
        }
    }

    /// Writes down what has been done so far, for other processes.
    package func writeRecord() throws(Failure) {
        if isKeeper { try directory.write(record) }
    }

    // MARK: - Up

    /// Does all steps of the start.
    ///
    /// - Throws: what a step has failed with, or that a signal has interrupted the start.
    package func bringUp() throws(Failure) {
        try requireFreeMountPoint()
        let dead = try OrphanedDisk.endDeadServers(of: plan, directory)
        try writeRecord()
        try protectSupervisor()
        let backend = try makeBackend()
        self.backend = backend
        record.worker = backend.worker
        record.identifier = backend.identifier
        try writeRecord()
        try requireNoStop()
        let left = try findOrphan(backend, dead)
        for record in dead where left?.record != record {
            directory.remove(record, living: self.record)
        }
        let device = try attach(backend, left)
        try requireNoStop()
        try putFileSystem(on: device, backend)
        try requireNoStop()
        isUp = true
    }

    private func requireNoStop() throws(Failure) {
        if stop.isSet { throw .interrupted(by: stop.signal) }
    }

    /// A second disk on a mount point would hide the first one.
    private func requireFreeMountPoint() throws(Failure) {
        guard let point = plan.fileSystem.mountPoint else { return }
        let mounts: [Mount]
        do throws(Errno) {
            mounts = try Mount.table().filter { $0.point == point }
        } catch {
            throw .system("cannot read the table of mounts: \(error)")
        }
        // The mount of a disk whose owner has died is what `up` goes on with.
        let own = directory.records.filter {
            !$0.owner.isRunning && $0.backingPath != nil && $0.backingPath == plan.disk.backingPath
        }.compactMap { $0.device?.path }
        guard let other = mounts.last, !own.contains(other.source) else { return }
        throw .unavailable(
            "\(other.source) is mounted at \(point) already: take it down first, or choose another --mount"
        )
    }

    /// A supervisor that is killed or swapped out cannot start the next worker.
    private func protectSupervisor() throws(Failure) {
        guard plan.worker != nil else { return }
        plan.serving.protection.begin(logger: logger)
        plan.serving.protection.disksAreThere(logger: logger)
    }

    private func makeBackend() throws(Failure) -> any DiskServer {
        if let remote = plan.remote { return try RemoteDiskServer(remote) }
        if let command = plan.worker {
            return try SupervisedDiskServer(command, logger: logger)
        }
        return try LocalDiskServer(plan.disk, plan.serving, logger: logger, stop: stop)
    }

    private func findOrphan(
        _ backend: any DiskServer, _ dead: [DiskRecord]
    ) throws(Failure) -> OrphanedDisk? {
        guard plan.remote != nil else {
            return try OrphanedDisk.find(backend.identifier, dead, plan, logger)
        }
        // A remote export may be attached to any number of devices: only the one that is named is attached again.
        guard let device = plan.device, device.isAttached(as: backend.identifier) else {
            return nil
        }
        let records = directory.records.filter {
            $0.device == device && $0.identifier == backend.identifier
        }
        if let keeper = records.first(where: \.owner.isRunning) {
            throw .unavailable(
                "\(device) is looked after by process \(keeper.owner.pid) already, which makes its "
                    + "connections again")
        }
        return OrphanedDisk(device: device, record: records.first)
    }

    /// Attaches the first free device or the one that is wanted; or again the one that another server
    /// of the same disk has left.
    private func attach(
        _ backend: any DiskServer, _ left: OrphanedDisk?
    ) throws(Failure) -> NBDDevice {
        let began = MonotonicTime.now()
        var connections: [ServerConnection] = []
        let count = plan.remote == nil ? left?.queues ?? plan.queues : plan.queues
        for _ in 0..<count { connections.append(try backend.connect()) }
        let options = NBDDeviceOptions(
            connections[0].connection.export, requestTimeout: plan.requestTimeout,
            deadConnectionTimeout: plan.deadConnectionTimeout, backend: backend.identifier,
            sectorSize: backend.start.sectorSize)
        record.size = options.size
        let device: NBDDevice
        if let left {
            device = left.device
            try attachAgain(left, connections, options)
            if connections.count > 1 { try prove(device) }
            if options.requestTimeout == 0 { try setTimeout(0) }
        } else {
            device = try attachNew(connections, options)
            if connections.count > 1 { try prove(device) }
        }
        let microseconds = (MonotonicTime.now().nanoseconds - began.nanoseconds) / 1000
        CurrentProcess.markAsRootStorageDaemon()
        try writeRecord()
        logger.info(
            "attached",
            metadata: [
                "device": "\(device)", "queues": "\(connections.count)",
                "microseconds": "\(microseconds)",
            ])
        return device
    }

    private func attachNew(
        _ connections: [ServerConnection], _ options: NBDDeviceOptions
    ) throws(Failure) -> NBDDevice {
        let device: NBDDevice
        do throws(Errno) {
            // Until all connections are known to be read, a request on one that is not is soon sent again.
            device = try driver.connect(
                connections.map(\.connection), to: plan.device,
                connections.count > 1 ? options.whileProved : options)
        } catch {
            throw .attaching(plan.device, error)
        }
        record.device = device
        links = DeviceConnections(device, connections, options, isOffered: false, logger: logger)
        guard try device.requireBackend() == options.backend else {
            // Without that text the device would later be taken for another's, or for none.
            try DeviceTeardown.disconnect(device, &driver)
            record.device = nil
            throw .unavailable(
                "this kernel does not tell what \(device) is attached to: Linux 5.14 or later is needed"
            )
        }
        return device
    }

    /// The kernel takes new connections as soon as it has noticed the end of the old ones.
    private func attachAgain(
        _ left: OrphanedDisk, _ connections: [ServerConnection], _ options: NBDDeviceOptions
    ) throws(Failure) {
        guard left.device.size == options.size / 512 * 512 else {
            throw .unavailable(
                "\(left.device) has \(left.device.size) bytes and the disk \(options.size): "
                    + "take it down first, with ramdisk-nbd down \(left.device)")
        }
        takenOver = left.record ?? DiskRecord(owner: .current)
        takenOver?.device = left.device
        // Without a timeout the kernel does not mark what it takes.
        var offered = options
        offered.requestTimeout = max(1, options.requestTimeout)
        let links = DeviceConnections(
            left.device, connections, offered, isOffered: true, logger: logger)
        let deadline = MonotonicTime.now().adding(milliseconds: plan.takeOverMilliseconds)
        while links.liveCount < connections.count, .now() < deadline {
            try attend(links)
            if links.liveCount > 0, links.liveCount < connections.count {
                // The device may have fewer queues: what is not taken soon is not wanted.
                Thread.sleep(milliseconds: 100)
                try attend(links)
                links.dropOffered()
                break
            }
            Thread.sleep(milliseconds: 20)
        }
        guard links.liveCount > 0 else {
            throw .unavailable(
                plan.remote == nil
                    ? "the kernel does not attach \(left.device) again"
                    : "\(left.device) is attached to \(plan.remote?.description ?? "") already, and its "
                        + "connections are alive")
        }
        record.device = left.device
        record.mountPoint = left.record?.mountPoint
        record.madeDirectories = left.record?.madeDirectories ?? 0
        record.fileSystem = left.record?.fileSystem
        try writeRecord()
        if let old = left.record { directory.remove(old, living: record) }
        self.links = links
    }

    /// Waits until the kernel reads every connection, and replaces those that it does not read. See
    /// ``ConnectionProof``.
    private func prove(_ device: NBDDevice) throws(Failure) {
        guard let links else { return }
        let deadline = MonotonicTime.now().adding(milliseconds: ConnectionProof.longestStart)
        while links.isBeingProved || !links.areAllLive {
            if stop.isSet || deadline < .now() {
                // The kernel uses the connections that it reads for all queues.
                links.isOffering = false
                guard links.isBeingProved else { break }
            }
            attend(milliseconds: ConnectionProof.interval)
            guard !isLost else {
                throw .unavailable("\(device) has been detached by another program")
            }
        }
        try requireNoStop()
        if !links.areAllLive {
            logger.warning(
                "the kernel does not read all connections yet",
                metadata: ["device": "\(device)", "read": "\(links.liveCount)"])
        }
        // A process that stays goes on with the others.
        links.isOffering = isKeeper
        do throws(Errno) {
            try links.restoreTimeouts(&driver)
        } catch {
            throw .attaching(device, error)
        }
    }

    /// Gives the device and its connections the request timeout in seconds that is wanted, after another one.
    private func setTimeout(_ seconds: UInt64) throws(Failure) {
        guard let links else { return }
        links.options.requestTimeout = seconds
        do throws(Errno) {
            try driver.setTimeouts(of: links.device, links.options)
        } catch {
            throw .attaching(links.device, error)
        }
        links.setSendTimeouts(seconds: seconds)
    }

    /// Only a blank disk gets a new file system; only one that is not mounted is mounted.
    private func putFileSystem(
        on device: NBDDevice, _ backend: any DiskServer
    ) throws(Failure) {
        let fileSystem = plan.fileSystem
        if let point = fileSystem.mountPoint, record.mountPoint != point {
            record.madeDirectories = try fileSystem.makeMountPoint()
            record.mountPoint = point
            try writeRecord()
        }
        let isNew = backend.start.isBlank && fileSystem.kind != .none && takenOver == nil
        if isNew {
            try runWhilePolling { () throws(Failure) in try fileSystem.make(on: device.path) }
            record.fileSystem = fileSystem.kind.rawValue
        }
        try requireNoStop()
        guard let point = fileSystem.mountPoint,
            !Mount.all(of: device.path).contains(where: { $0.point == point })
        else { return try writeRecord() }
        try runWhilePolling { () throws(Failure) in
            try fileSystem.mount(device.path, isNew: isNew)
        }
        record.fileSystem = Mount.all(of: device.path).first { $0.point == point }?.type
        try writeRecord()
    }
}
