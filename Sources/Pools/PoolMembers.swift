internal import Glibc
internal import KernelDisks
internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import NBDProtocol
internal import ProgramSupport
internal import SystemPackage

/// Attaches the members of a pool to devices, and detaches them.
struct PoolMembers {
    let directory: PoolDirectory
    let logger: Logger

    /// The number of times that another process may take the free device first.
    private static let attempts = 8

    // MARK: - Attaching

    /// Attaches a member, and returns its device. Writes this to the record before.
    func attach(
        _ source: MemberSource, to record: inout PoolRecord, stop: SupervisorMailbox
    ) throws(Failure) -> NBDDevice {
        let index = record.add(source)
        switch source {
        case .local(let size):
            try directory.write(record)
            return try serve(size, label: record.label(of: record.members[index]), record.timeout)
        case .remote(let uri): return try attach(uri, index, &record, stop)
        case .missing: preconditionFailure("nothing is attached for it")
        }
    }

    /// Starts `up` in the background for memory of this machine.
    private func serve(
        _ size: UInt64, label: String, _ timeout: UInt64
    ) throws(Failure) -> NBDDevice {
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

    /// Attaches an export to a free device. It uses one connection: after a timeout the driver resends a request over
    /// each other connection, and md would wait for all of them. Requests on a dead connection fail at once, so that md
    /// does not wait.
    private func attach(
        _ uri: NBDURI, _ index: Int, _ record: inout PoolRecord, _ stop: SupervisorMailbox
    ) throws(Failure) -> NBDDevice {
        for _ in 1..<Self.attempts {
            let device = Self.freeDevice
            record.members[index].device = device.path
            try directory.write(record)
            do throws(Failure) {
                return try KernelDisk(
                    .attaching(
                        uri, to: device, connections: 1,
                        timeouts: (request: record.timeout, deadConnection: 0)),
                    logger: logger, stop: stop
                ).attachOnly()
            } catch {
                // Another process may have taken the device.
                guard (try? device.isConnected()) == true, !device.isAttached(to: uri) else {
                    throw error
                }
            }
        }
        throw .unavailable("other processes take each free device before \(uri) is attached to it")
    }

    /// A free device. If all are in use, one that does not exist yet: the driver creates it.
    private static var freeDevice: NBDDevice {
        let all = NBDDevice.all
        return all.first { (try? $0.isConnected()) == false }
            ?? NBDDevice(index: UInt32(all.count))
    }

    // MARK: - Finding

    /// Returns the device of a member; nil when it is not attached.
    static func device(of member: PoolRecord.Member, in record: PoolRecord) -> NBDDevice? {
        if member.isLocal {
            let label = record.label(of: member)
            let disk = RuntimeDirectory()?.records.first { $0.pool == label }
            return disk.flatMap { (try? $0.attachedDevice()) ?? nil }
        }
        guard let device = member.device.flatMap(NBDDevice.init(path:)),
            let uri = try? NBDURI(member.text), device.isAttached(to: uri)
        else { return nil }
        return device
    }

    /// The array that the members of a pool are part of; nil when there is none.
    static func array(of record: PoolRecord) -> MDArray? {
        record.members.lazy.compactMap { device(of: $0, in: record) }
            .compactMap(MDArray.init(holding:)).first
    }

    // MARK: - Detaching

    /// Detaches a member, and stops the server of a local one.
    func detach(_ member: PoolRecord.Member, of record: PoolRecord) throws(Failure) {
        if member.isLocal {
            guard let runtime = RuntimeDirectory() else { return }
            let takeDown = TakeDown(directory: runtime, logger: logger, isForced: false)
            let label = record.label(of: member)
            for disk in runtime.records where disk.pool == label { try takeDown.run(disk) }
        } else if let device = Self.device(of: member, in: record) {
            try Detachment(logger: logger, isForced: false).run(device)
        }
    }
}
