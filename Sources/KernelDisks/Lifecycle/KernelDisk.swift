internal import ServerHost
package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
package import Logging
package import NBDKernel
internal import NBDProtocol
internal import SystemPackage

/// The life of one kernel disk: it is brought up, looked after and taken down. One thread uses it.
///
/// Each step is written to the record before another process could need to know of it. `ramdisk-nbd down` can
/// therefore take a disk down whose supervisor was killed at any moment.
package final class KernelDisk {
    let plan: KernelDiskConfiguration
    let logger: Logger
    let stop: SupervisorMailbox
    let directory: RuntimeDirectory
    var record: DiskRecord
    var driver: NBDDriver
    var server: (any DiskServer)?
    var connections: DeviceConnections?
    /// The record that the previous supervisor has left, when the device was attached before this start.
    var takenOver: DiskRecord?
    /// Whether this process continues to look after the device once it is attached.
    private var staysWithDevice = true
    /// Whether the start is complete.
    var isUp = false
    /// Milliseconds to wait, once the device is detached, for the processes that have it open; nil: until
    /// they have closed it.
    var closingTimeLimit: Int?
    /// Whether another program has detached the device, or the kernel has given it up.
    var isLost = false
    /// The failure of the last attempts to save the disk before it is taken down, and their number.
    var failedSaves: (count: Int, last: Failure)?

    /// Opens the driver and the runtime directory; attaches nothing.
    package init(_ plan: KernelDiskConfiguration, logger: Logger, stop: SupervisorMailbox)
        throws(Failure)
    {
        guard Privileges.canAdminister else { throw .driver(.notPermitted) }
        self.plan = plan
        self.logger = logger
        self.stop = stop
        driver = try openDriver()
        directory = try RuntimeDirectory.make()
        record = DiskRecord(supervisor: .current)
        record.backing = plan.disk.backing
        record.usesReservedPages = plan.disk.usesReservedPages
        record.remote = plan.remote?.description
        record.log = plan.log
        record.image = plan.disk.image?.path
        record.queues = plan.queues
        record.pool = plan.pool
    }

    /// Brings the disk up, looks after it until it is asked to stop, and takes it down. Calls `ready` with
    /// the device and the mount point when the disk is up.
    ///
    /// - Throws: when the start was not completed, or the device was lost. The disk is down in these cases
    ///   too.
    package func run(ready: (NBDDevice, String?) -> Void) throws(Failure) {
        do throws(Failure) {
            try bringUp()
        } catch {
            // A device that was attached before this start stays as it was, unless a signal asks for its end.
            let mayTakeDown = takenOver == nil || (stop.isStopRequested && record.device != nil)
            if mayTakeDown { takeDownEventually() } else { leaveAsFound() }
            throw error
        }
        if let device = record.device { ready(device, record.mountPoint) }
        pollUntilStop()
        takeDownEventually()
        if isLost {
            throw .unavailable(
                "another program has detached \(record.device?.path ?? "the device"), or it had no server for "
                    + "too long")
        }
        if let unsaved { throw unsaved }
    }

    /// Attaches the device and leaves it to the kernel. No record of it is written, since no process looks
    /// after it.
    package func attachOnly() throws(Failure) -> NBDDevice {
        staysWithDevice = false
        let server = try makeServer()
        self.server = server
        record.identifier = server.identifier
        let orphan = try findOrphan(server, [])
        do throws(Failure) {
            let device = try attach(server, orphan)
            try requireNoStop()
            return device
        } catch {
            if orphan == nil, let device = record.device {
                try? DeviceTeardown.disconnect(device, &driver)
            }
            throw error
        }
    }

    /// Writes the current state to the record, for other processes.
    func writeRecord() throws(Failure) {
        if staysWithDevice { try directory.write(record) }
    }

    // MARK: - Up

    /// Does all steps of the start.
    ///
    /// - Throws: the error of the step that has failed, or that a signal has interrupted the start.
    func bringUp() throws(Failure) {
        try requireFreeMountPoint()
        let dead = try OrphanedDisk.endOrphanedWorkers(of: plan, directory)
        try writeRecord()
        try protectSupervisor()
        let server = try makeServer()
        self.server = server
        record.worker = server.worker
        record.identifier = server.identifier
        try writeRecord()
        try requireNoStop()
        let orphan = try findOrphan(server, dead)
        for record in dead where orphan?.record != record {
            directory.remove(record, living: self.record)
        }
        let device = try attach(server, orphan)
        if orphan != nil { try runWhilePolling { FrozenFileSystem.thaw(on: device) } }
        try requireNoStop()
        try putFileSystem(on: device, server)
        server.setMountPoint(record.mountPoint)
        try requireNoStop()
        isUp = true
    }

    private func requireNoStop() throws(Failure) {
        if stop.isStopRequested { throw .interrupted(by: stop.signal) }
    }

    /// Checks that nothing else is mounted at the mount point. A second disk there would hide the first one.
    private func requireFreeMountPoint() throws(Failure) {
        guard let point = plan.fileSystem.mountPoint else { return }
        let mounts: [Mount]
        do throws(Errno) {
            mounts = try Mount.table().filter { $0.point == point }
        } catch {
            throw .system("cannot read the mount table: \(error)")
        }
        // A disk whose supervisor has died may still be mounted there, and `up` continues with that mount.
        let own = directory.records.filter {
            !$0.supervisor.isRunning && $0.backingPath != nil
                && $0.backingPath == plan.disk.backingPath
        }.compactMap { $0.device?.path }
        guard let other = mounts.last, !own.contains(other.source) else { return }
        throw .unavailable(
            "\(other.source) is mounted at \(point) already: take it down first, or choose another --mount directory"
        )
    }

    /// Protects the supervisor as its worker is protected: a supervisor that is killed for its memory or
    /// swapped out cannot start the next worker.
    private func protectSupervisor() throws(Failure) {
        guard plan.worker != nil else { return }
        plan.serving.protection.begin(logger: logger)
        plan.serving.protection.disksAreThere(logger: logger)
    }

    private func makeServer() throws(Failure) -> any DiskServer {
        try requireNoStop()
        if let remote = plan.remote {
            return try RemoteDiskServer(remote, requestTimeout: plan.requestTimeout)
        }
        // Much memory takes long to be made, and longer to be filled from a file or an image. A request to stop ends
        // the wait for that, since nothing is attached yet.
        let deadline = TimeoutExtension(while: { [stop] in !stop.isStopRequested })
        defer { deadline.end() }
        if let command = plan.worker {
            return try SupervisedDiskServer(
                command, limits: SupervisedDiskServer.Limits(for: plan.disk), logger: logger,
                stop: stop)
        }
        // On this thread: the threads that it starts later inherit what `Protection` sets for a thread.
        let start = try InterruptibleStart(stop) { [directory, record] in directory.remove(record) }
        defer { start.close() }
        return try LocalDiskServer(
            plan.disk, plan.serving, logger: logger, stop: stop, onDiskMade: start.close)
    }

    private func findOrphan(
        _ server: any DiskServer, _ dead: [DiskRecord]
    ) throws(Failure) -> OrphanedDisk? {
        guard plan.remote != nil else {
            return try OrphanedDisk.find(server.identifier, dead, plan, logger)
        }
        // A remote export may be attached to any number of devices. Only the device that the user has named
        // is attached again.
        guard plan.mayTakeOver, let device = plan.device,
            device.isAttached(as: server.identifier)
        else {
            return nil
        }
        let records = directory.records.filter {
            $0.device == device && $0.identifier == server.identifier
        }
        if let keeper = records.first(where: \.supervisor.isRunning) {
            throw .unavailable(
                "\(device) is looked after by process \(keeper.supervisor.pid) already, which replaces its "
                    + "dead connections")
        }
        return OrphanedDisk(device: device, record: records.first)
    }

    /// Attaches the wanted device, or else the first free one; or attaches an orphaned device again, which
    /// another server of the same disk has left.
    private func attach(
        _ server: any DiskServer, _ orphan: OrphanedDisk?
    ) throws(Failure) -> NBDDevice {
        let began = MonotonicTime.now()
        var serverConnections: [ServerConnection] = []
        let count = plan.remote == nil ? orphan?.queues ?? plan.queues : plan.queues
        for _ in 0..<count { serverConnections.append(try server.connect()) }
        let options = NBDDeviceOptions(
            serverConnections[0].connection.export, requestTimeout: plan.requestTimeout,
            deadConnectionTimeout: plan.deadConnectionTimeout, backend: server.identifier,
            sectorSize: server.start.sectorSize)
        record.size = options.size
        let device: NBDDevice
        if let orphan {
            device = orphan.device
            try attachAgain(orphan, serverConnections, options)
            if serverConnections.count > 1 { try prove(device) }
            if options.requestTimeout == 0 { try setTimeout(0) }
        } else {
            device = try attachNew(serverConnections, options)
            if serverConnections.count > 1 { try prove(device) }
            if plan.setsUpBlockLayer {
                setUpBlockLayer(for: device, serverConnections[0].connection.export)
            }
        }
        let microseconds = (MonotonicTime.now().nanoseconds - began.nanoseconds) / 1000
        CurrentProcess.markAsRootStorageDaemon()
        try writeRecord()
        logger.info(
            "attached",
            metadata: [
                "device": "\(device)", "queues": "\(serverConnections.count)",
                "microseconds": "\(microseconds)",
            ])
        return device
    }

    private func attachNew(
        _ serverConnections: [ServerConnection], _ options: NBDDeviceOptions
    ) throws(Failure) -> NBDDevice {
        let device: NBDDevice
        do throws(Errno) {
            // Until the connections are proved, the kernel soon repeats a request on one that it does not read.
            device = try connect(
                serverConnections.map(\.connection),
                serverConnections.count > 1 ? options.whileProved : options)
        } catch {
            throw .attaching(plan.device, error)
        }
        record.device = device
        connections = DeviceConnections(
            device, serverConnections, options, isOffered: false, logger: logger)
        guard try device.requireBackend() == options.backend else {
            // Without this attribute no process could tell later which disk the device belongs to.
            try DeviceTeardown.disconnect(device, &driver)
            record.device = nil
            throw .unavailable(
                "this kernel does not report what \(device) is attached to: Linux 5.14 or later is needed"
            )
        }
        return device
    }

    /// Connects the device of the configuration, or else the first free one. To the driver, a device that any process
    /// has open is in use, and udev opens each one that has just been detached. So a wanted device that is free is
    /// tried again for three seconds.
    private func connect(
        _ connections: [NBDConnection], _ options: NBDDeviceOptions
    ) throws(Errno) -> NBDDevice {
        let deadline = MonotonicTime.now().adding(milliseconds: 3_000)
        while true {
            do throws(Errno) {
                return try driver.connect(connections, to: plan.device, options)
            } catch .resourceBusy {
                guard let device = plan.device, try !device.isConnected(),
                    MonotonicTime.now() < deadline
                else { throw .resourceBusy }
                Thread.sleep(milliseconds: 50)
            }
        }
    }

    /// Gives the device the settings that suit memory. A device that was attached before this start keeps those that
    /// it has, which the user may have changed.
    private func setUpBlockLayer(for device: NBDDevice, _ export: RemoteExport) {
        let settings = DeviceSettings.ofMemory(mostPayload: export.blockSizes?.maximumPayload)
        for refusal in settings.apply(to: device) {
            logger.warning(
                "cannot change a setting of the device, which may be slower without it",
                metadata: [
                    "device": "\(device)", "setting": "\(refusal.setting.rawValue)",
                    "value": "\(refusal.value)", "error": "\(refusal.error)",
                ])
        }
    }

    /// Offers new connections to a device that is attached already. The kernel adopts them as soon as it has
    /// noticed the end of the old ones.
    private func attachAgain(
        _ orphan: OrphanedDisk, _ serverConnections: [ServerConnection], _ options: NBDDeviceOptions
    ) throws(Failure) {
        guard orphan.device.size == options.size / 512 * 512 else {
            throw .unavailable(
                "\(orphan.device) has \(orphan.device.size) bytes, but the disk has \(options.size): "
                    + "take it down first, with ramdisk-nbd down \(orphan.device)")
        }
        takenOver = orphan.record ?? DiskRecord(supervisor: .current)
        takenOver?.device = orphan.device
        // Without a request timeout the kernel does not mark the connections that it adopts.
        var offered = options
        offered.requestTimeout = max(1, options.requestTimeout)
        let connections = DeviceConnections(
            orphan.device, serverConnections, offered, isOffered: true, logger: logger)
        let deadline = MonotonicTime.now().adding(milliseconds: plan.takeOverMilliseconds)
        while connections.liveCount < serverConnections.count, .now() < deadline {
            try poll(connections)
            if connections.liveCount > 0, connections.liveCount < serverConnections.count {
                // The device may have fewer queues than offered connections. Connections that the kernel does
                // not adopt soon are not needed.
                Thread.sleep(milliseconds: 100)
                try poll(connections)
                connections.dropOffered()
                break
            }
            Thread.sleep(milliseconds: 20)
        }
        guard connections.liveCount > 0 else {
            throw .unavailable(
                plan.remote == nil
                    ? "the kernel has not adopted new connections for \(orphan.device)"
                    : "\(orphan.device) is attached to \(plan.remote?.description ?? "") already, and its "
                        + "connections are alive")
        }
        record.device = orphan.device
        record.mountPoint = orphan.record?.mountPoint
        record.madeDirectories = orphan.record?.madeDirectories ?? 0
        record.fileSystem = orphan.record?.fileSystem
        try writeRecord()
        if let old = orphan.record { directory.remove(old, living: record) }
        self.connections = connections
    }

    /// Waits until the kernel reads every connection, and replaces those that it does not read (see
    /// ``ConnectionProof``).
    private func prove(_ device: NBDDevice) throws(Failure) {
        guard let connections else { return }
        let deadline = MonotonicTime.now().adding(milliseconds: ConnectionProof.longestStart)
        while connections.isBeingProved || !connections.areAllLive {
            if stop.isStopRequested || deadline < .now() {
                // The device is used with the connections that the kernel reads.
                connections.isOffering = false
                guard connections.isBeingProved else { break }
            }
            poll(milliseconds: ConnectionProof.interval)
            guard !isLost else {
                throw .unavailable("another program has detached \(device)")
            }
        }
        try requireNoStop()
        if !connections.areAllLive {
            logger.warning(
                "the kernel does not read all connections yet",
                metadata: ["device": "\(device)", "read": "\(connections.liveCount)"])
        }
        // A process that stays with the device replaces the other connections later.
        connections.isOffering = staysWithDevice
        do throws(Errno) {
            try connections.restoreTimeouts(&driver)
        } catch {
            throw .attaching(device, error)
        }
    }

    /// Gives the device and its connections the wanted request timeout in seconds, after they had another
    /// one.
    private func setTimeout(_ seconds: UInt64) throws(Failure) {
        guard let connections else { return }
        connections.options.requestTimeout = seconds
        do throws(Errno) {
            try driver.setTimeouts(of: connections.device, connections.options)
        } catch {
            throw .attaching(connections.device, error)
        }
        connections.setSendTimeouts(seconds: seconds)
    }

    /// Creates and mounts the file system. Only a blank disk gets a new file system, and only a disk that is
    /// not mounted yet is mounted.
    private func putFileSystem(
        on device: NBDDevice, _ server: any DiskServer
    ) throws(Failure) {
        let fileSystem = plan.fileSystem
        if let point = fileSystem.mountPoint, record.mountPoint != point {
            record.madeDirectories = try fileSystem.makeMountPoint()
            record.mountPoint = point
            try writeRecord()
        }
        let isNew = server.start.isBlank && fileSystem.kind != .none && takenOver == nil
        if isNew {
            try runWhilePolling { () throws(Failure) in try fileSystem.make(on: device.path) }
            record.fileSystem = fileSystem.kind.rawValue
        }
        try requireNoStop()
        guard let point = fileSystem.mountPoint,
            !Mount.all(of: device.path).contains(where: { $0.point == point })
        else { return try writeRecord() }
        if !Directory.names(in: point).isEmpty {
            logger.warning("\(point) is not empty: the mount hides what is in it")
        }
        try runWhilePolling { () throws(Failure) in
            try fileSystem.mount(device.path, isNew: isNew)
        }
        record.fileSystem = Mount.all(of: device.path).first { $0.point == point }?.type
        try writeRecord()
    }
}
