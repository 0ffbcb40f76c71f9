internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import Observability
internal import ObservabilityClient
internal import ProgramSupport
internal import ServerHost

/// A disk or an attached device, as `ramdisk-nbd list` shows it.
package struct ListedDisk: Sendable, Equatable {
    /// The state in a word.
    package enum State: String, Sendable, Encodable {
        /// Served, with a running supervisor.
        case up
        /// Starting.
        case starting
        /// Detached; a process that has the device open holds it.
        case detaching
        /// Attached by `attach --stay`, whose keeper is running.
        case watched
        /// The supervisor is dead: `up` with the same backing takes the disk over, `down` takes it down.
        case orphaned
        /// Attached by another program, or by `attach` without --stay.
        case attached
        /// Served to clients, and not a kernel disk.
        case served
    }

    /// The path of the device; nil when there is none.
    package var device: String?
    /// The size in bytes; nil when the disk's server does not say it.
    package var size: UInt64?
    /// Bytes in use: in the mounted file system, or of the memory of a served disk. Nil when unknown.
    package var used: UInt64?
    /// The type of the file system, as mount(8) names it.
    package var fileSystem: String?
    /// The mount point, or `[SWAP]`.
    package var mountPoint: String?
    /// The name of the backing.
    package var backing: String?
    /// The URI of the server of a device that `attach` attached, or the URIs of a served disk.
    package var server: String?
    package var state: State
    /// The pid of the supervisor, keeper or server.
    var process: Int32?
    /// The pid of the worker, if there is one.
    var worker: Int32?
    /// The image that the disk is saved to; nil when it has none.
    package var image: ListedImage?
    /// The number of queues of the device, and what the kernel's block layer does with requests for it; nil without a
    /// device.
    package var settings: ListedSettings?
    /// The reason, a sentence, why the server did not report its statistics; nil when it did.
    package var silence: String?
}

// MARK: - Finding

extension ListedDisk {
    /// All kernel disks and attached devices, by the index of the device, then all served disks.
    ///
    /// - Parameter timeoutMilliseconds: how long each server may take to respond. The disks of one that takes longer
    ///   are listed as one, of which little is known.
    package static func all(
        timeoutMilliseconds: Int = ControlClient.usualTimeoutMilliseconds
    ) -> [ListedDisk] {
        let records = RuntimeDirectory()?.records ?? []
        let (servers, silent) = servers(timeoutMilliseconds)
        let ours = records.map { ListedDisk(record: $0, servers: servers) }
        let devices = Set(ours.compactMap(\.device))
        let others = NBDDevice.all.filter {
            (try? $0.isConnected()) == true && !devices.contains($0.path)
        }
        let attached = (ours + others.map { ListedDisk(device: $0, size: $0.size) }).sorted {
            let first = $0.device.flatMap(NBDDevice.init(path:))?.index ?? .max
            let second = $1.device.flatMap(NBDDevice.init(path:))?.index ?? .max
            return first < second
        }
        let known = Set(records.flatMap { [$0.supervisor.pid, $0.worker?.pid ?? 0] })
        return attached
            + servers.filter { !known.contains($0.server.pid) }.flatMap { stats in
                stats.disks.map { ListedDisk(disk: $0, of: stats) }
            }
            + silent.filter { !known.contains($0.process ?? 0) }
    }

    /// Returns the statistics of the servers that respond, and a disk for each server that listens and does not.
    private static func servers(
        _ timeoutMilliseconds: Int
    ) -> (responding: [Stats], silent: [ListedDisk]) {
        let search = ControlSearch(timeoutMilliseconds: timeoutMilliseconds)
        var responding: [Stats] = []
        var silent: [ListedDisk] = []
        for socket in search.sockets {
            let client = ControlClient(path: socket, timeoutMilliseconds: timeoutMilliseconds)
            do {
                responding.append(try client.get("/stats", as: Stats.self))
            } catch {
                // The server may have stopped in the meantime.
                guard search.hasListener(socket) else { continue }
                silent.append(
                    ListedDisk(
                        state: .served, process: ControlSearch.process(of: socket),
                        silence: (error as? Failure)?.sentence ?? "\(error)"))
            }
        }
        return (responding, silent)
    }

    private init(disk: DiskStats, of stats: Stats) {
        let server = stats.server
        let addresses = server.addresses.map { address in
            disk.export.isEmpty || address.contains("?") ? address : "\(address)/\(disk.export)"
        }
        self.init(
            size: disk.sizeBytes, used: disk.residentBytes,
            server: addresses.joined(separator: ", "), state: .served, process: server.pid,
            image: stats.saves.first { $0.export == disk.export }.map(ListedImage.init))
    }

    /// - Parameter servers: the statistics of all servers, among which the disk's own may be.
    private init(record: DiskRecord, servers: [Stats]) {
        let device = (try? record.attachedDevice()) ?? nil
        self.init(device: device, size: record.size)
        backing = record.backing?.name
        server = record.remote
        fileSystem = fileSystem ?? record.fileSystem
        let isRunning = record.supervisor.isRunning
        state =
            record.isDetaching
            ? .detaching
            : !isRunning ? .orphaned : device == nil ? .starting : server == nil ? .up : .watched
        process = isRunning ? record.supervisor.pid : nil
        worker = record.worker.flatMap { $0.isRunning ? $0.pid : nil }
        guard let path = record.image else { return }
        let own = servers.first { [process, worker].contains($0.server.pid) }?.saves.first
        image =
            own.map(ListedImage.init) ?? ListedImage(path: path, error: record.failedSave?.sentence)
    }

    /// Describes a device by what the kernel says about it.
    private init(device: NBDDevice?, size: UInt64) {
        self.init(device: device?.path, size: size, state: .attached)
        guard let device else { return }
        settings = ListedSettings(device)
        let mount = Mount.all(of: device.path).first
        fileSystem = mount?.type
        mountPoint = BlockDeviceUse.isSwap(device.path) ? "[SWAP]" : mount?.point
        used = mount.flatMap { FileSystemUse(path: $0.point)?.used }
        server = ((try? device.backend()) ?? nil).flatMap(RemoteDiskServer.uri(inIdentifier:))
    }
}

// MARK: - JSON

/// A missing value is null.
extension ListedDisk: Encodable {
    private enum CodingKeys: String, CodingKey {
        case device, size, used, backing, server, state, worker
        case fileSystem = "filesystem"
        case mountPoint = "mount"
        case process = "pid"
        case image, settings
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(device, forKey: .device)
        try object.encode(size, forKey: .size)
        try object.encode(used, forKey: .used)
        try object.encode(fileSystem, forKey: .fileSystem)
        try object.encode(mountPoint, forKey: .mountPoint)
        try object.encode(backing, forKey: .backing)
        try object.encode(server, forKey: .server)
        try object.encode(state, forKey: .state)
        try object.encode(process, forKey: .process)
        try object.encode(worker, forKey: .worker)
        try object.encode(image, forKey: .image)
        try object.encode(settings, forKey: .settings)
    }
}
