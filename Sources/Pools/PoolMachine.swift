internal import KernelDisks
internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import NBDProtocol
internal import ProgramSupport
internal import ServiceDiscovery
internal import SystemPackage

/// What pools do to a machine. Tests have one of their own.
protocol PoolMachine: Sendable {
    /// Runs a program of the system to its end.
    func run(
        _ program: String, _ arguments: [String], package: String
    ) throws(Failure) -> ChildProcess.Result
    /// Reads the first and the last MiB of a device, where signatures are.
    func read(_ device: String) throws(Failure)

    /// The devices of the nbd driver, sorted.
    var devices: [NBDDevice] { get }
    /// Whether a device is in use. One of which that is unknown is.
    func isConnected(_ device: NBDDevice) -> Bool
    /// The size of a device in bytes.
    func size(of device: NBDDevice) -> UInt64
    func isAttached(_ device: NBDDevice, to uri: NBDURI) -> Bool
    /// Whether a page can be read from a device. Takes up to the pool's timeout for one that does not reply.
    func isReplying(_ device: NBDDevice) -> Bool
    /// Attaches an export to a device that is free, over one connection: the driver sends a request that times out again
    /// over each other connection, and md waits for all of them. A connection that dies fails at once, so that md does
    /// not wait for it.
    func attach(
        _ uri: NBDURI, to device: NBDDevice, timeout: UInt64, stop: SupervisorMailbox
    ) throws(Failure)
    func detach(_ device: NBDDevice) throws(Failure)

    /// Starts a disk of this machine's memory in the background, and returns its device.
    ///
    /// - Parameter label: the name of the member in the disk's record.
    func serve(_ size: UInt64, label: String, timeout: UInt64) throws(Failure) -> NBDDevice
    /// The device of a local member; nil when it is not attached.
    func device(ofMember label: String) -> NBDDevice?
    func takeDown(member label: String) throws(Failure)

    /// The array that a device is part of; nil when it is part of none.
    func array(holding device: NBDDevice) -> MDArray?
    /// Throws when anything uses a device, other than its mount at `point`. Changes nothing.
    func requireUnused(_ device: String, except point: String?) throws(Failure)

    /// Marks this process and all that it starts as working for a pool.
    func mark(_ pool: String)
    /// Ends the processes that a killed command has left, and waits for that.
    func endStrays(of pool: String) throws(Failure)

    /// Returns the servers of a service, in the order in which they are to be members.
    func servers(of service: String) throws(ServiceLookup.Failure) -> [ServiceRecord]
}

/// The machine on which this process runs.
struct ThisMachine: PoolMachine {
    var logger = Logger(label: "pool") { _ in SwiftLogNoOpLogHandler() }

    func run(
        _ program: String, _ arguments: [String], package: String
    ) throws(Failure) -> ChildProcess.Result {
        try SystemProgram.run(program, arguments, package: package)
    }

    func read(_ device: String) throws(Failure) {
        do {
            let file = try FileDescriptor.open(FilePath(device), .readOnly)
            try file.closeAfter {
                let size = try file.seek(offset: 0, from: .end)
                for start in [0, max(0, size - 1 << 20)] {
                    var offset = start
                    while offset < min(size, start + 1 << 20) {
                        let count = try unsafe withUnsafeTemporaryAllocation(
                            byteCount: 1 << 16, alignment: 4096
                        ) { try unsafe file.read(fromAbsoluteOffset: offset, into: $0) }
                        guard count > 0 else { throw Errno.ioError }
                        offset += Int64(count)
                    }
                }
            }
        } catch {
            throw .inputOutput("cannot read \(device): \(error)")
        }
    }

    // MARK: - Exports

    var devices: [NBDDevice] { NBDDevice.all }

    func isConnected(_ device: NBDDevice) -> Bool { (try? device.isConnected()) != false }

    func size(of device: NBDDevice) -> UInt64 { device.size }

    func isAttached(_ device: NBDDevice, to uri: NBDURI) -> Bool { device.isAttached(to: uri) }

    func isReplying(_ device: NBDDevice) -> Bool {
        (try? BlockDevice.readPage(of: device.path, at: 0)) != nil
    }

    func attach(
        _ uri: NBDURI, to device: NBDDevice, timeout: UInt64, stop: SupervisorMailbox
    ) throws(Failure) {
        var plan = KernelDiskConfiguration.attaching(
            uri, to: device, connections: 1, timeouts: (request: timeout, deadConnection: 0))
        plan.mayTakeOver = false
        _ = try KernelDisk(plan, logger: logger, stop: stop).attachOnly()
    }

    func detach(_ device: NBDDevice) throws(Failure) {
        try Detachment(logger: logger, isForced: false).run(device)
    }

    // MARK: - Local members

    func serve(_ size: UInt64, label: String, timeout: UInt64) throws(Failure) -> NBDDevice {
        let result: ChildProcess.Result
        do throws(Errno) {
            result = try ChildProcess.run(
                SelfExecution.path,
                [
                    "up", "--size", "\(size)", "--filesystem", "none", "--queues", "1", "--timeout",
                    "\(timeout)s", "--dead-connection-timeout", "0s", "--pool-member", label,
                    "--daemon",
                ])
        } catch {
            throw .system("cannot start the server of a local member: \(error)")
        }
        let lines = result.output.split(separator: "\n")
        if result.ending == .exited(0),
            let device = lines.lazy.compactMap({ NBDDevice(path: String($0)) }).first
        {
            return device
        }
        let error = "ramdisk-nbd: error: "
        let reason = lines.last { $0.hasPrefix(error) }.map { $0.dropFirst(error.count) }
        throw .unavailable(
            "the server of a local member did not start: \(reason ?? "\(result.ending)")")
    }

    func device(ofMember label: String) -> NBDDevice? {
        let disk = RuntimeDirectory()?.records.first { $0.pool == label }
        return disk.flatMap { (try? $0.attachedDevice()) ?? nil }
    }

    func takeDown(member label: String) throws(Failure) {
        guard let runtime = RuntimeDirectory() else { return }
        let takeDown = TakeDown(directory: runtime, logger: logger, isForced: false)
        for disk in runtime.records where disk.pool == label { try takeDown.run(disk) }
    }

    // MARK: - Arrays

    func array(holding device: NBDDevice) -> MDArray? {
        BlockDeviceUse.holders(of: device.name).first { $0.hasPrefix("md") }.map {
            MDArray(name: $0)
        }
    }

    func requireUnused(_ device: String, except point: String?) throws(Failure) {
        try DeviceTeardown.requireUnused(device, except: point)
    }

    // MARK: - Processes and names

    func mark(_ pool: String) { PoolProcesses.mark(pool) }

    func endStrays(of pool: String) throws(Failure) { try PoolProcesses.endStrays(of: pool) }

    func servers(of service: String) throws(ServiceLookup.Failure) -> [ServiceRecord] {
        try ServiceLookup()(service)
    }
}
