internal import KernelDisks
internal import LinuxIO
internal import NBDKernel
internal import NBDProtocol
internal import ProgramSupport

/// Attaches the members of a pool to devices, and detaches them.
struct PoolMembers {
    let directory: PoolDirectory
    let machine: any PoolMachine

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
            return try machine.serve(
                size, label: record.label(of: record.members[index]), timeout: record.timeout)
        case .remote(let uri): return try attach(uri, index, &record, stop)
        case .service, .missing: preconditionFailure("nothing is attached for it")
        }
    }

    /// Attaches an export to a device that is free.
    private func attach(
        _ uri: NBDURI, _ index: Int, _ record: inout PoolRecord, _ stop: SupervisorMailbox
    ) throws(Failure) -> NBDDevice {
        var attempt = 1
        while true {
            let device = try reserveDevice(for: uri, index, &record)
            do throws(Failure) {
                try machine.attach(uri, to: device, timeout: record.timeout, stop: stop)
                return device
            } catch {
                // After any other error the device may be attached: the record keeps it for `pool down`.
                guard error.isInUse(device) else { throw error }
                // Another process has taken it, perhaps for the same export: it is not the pool's.
                record.members[index].device = nil
                try directory.write(record)
                guard attempt < Self.attempts, !stop.isStopRequested else { throw error }
                attempt += 1
            }
        }
    }

    /// Writes to the record to which device an export will be attached. No two pools get one device, nor one export.
    private func reserveDevice(
        for uri: NBDURI, _ index: Int, _ record: inout PoolRecord
    ) throws(Failure) -> NBDDevice {
        let lock = try directory.lockDevices()
        defer { extendLifetime(lock) }
        let others = directory.records.filter { $0.name != record.name }
        if let other = others.first(where: { $0.members.contains { $0.text == "\(uri)" } }) {
            throw .unavailable(
                "\(uri) is a member of the pool \(other.name): each pool needs a disk of its own")
        }
        let reserved = Set((others + [record]).flatMap(\.members).compactMap(\.device))
        let device = Self.firstFree(machine.devices) {
            reserved.contains($0.path) || machine.isConnected($0)
        }
        record.members[index].device = device.path
        try directory.write(record)
        return device
    }

    /// Returns the first device that is not taken. If all are, it is one that does not exist: the driver creates it.
    ///
    /// - Parameter devices: those that exist, sorted. Numbers may be left out.
    static func firstFree(
        _ devices: [NBDDevice], isTaken: (NBDDevice) -> Bool
    ) -> NBDDevice {
        if let device = devices.first(where: { !isTaken($0) }) { return device }
        var device = NBDDevice(index: 0)
        while devices.contains(device) || isTaken(device) {
            device = NBDDevice(index: device.index + 1)
        }
        return device
    }

    // MARK: - Detaching

    /// Detaches a member, and stops the server of a local one.
    func detach(_ member: PoolRecord.Member, of record: PoolRecord) throws(Failure) {
        if member.isLocal {
            try machine.takeDown(member: record.label(of: member))
        } else if let device = machine.device(of: member, in: record) {
            try machine.detach(device)
        }
    }
}

extension Failure {
    /// Whether a device could not be attached because something else uses it: `Failure.attaching` in KernelDisks.
    func isInUse(_ device: NBDDevice) -> Bool {
        sentence.hasPrefix("\(device) is in use")
    }
}

extension PoolMachine {
    /// Returns the device of a member; nil when it is not attached.
    func device(of member: PoolRecord.Member, in record: PoolRecord) -> NBDDevice? {
        if member.isLocal { return device(ofMember: record.label(of: member)) }
        guard let device = member.device.flatMap(NBDDevice.init(path:)),
            let uri = try? NBDURI(member.text), isAttached(device, to: uri)
        else { return nil }
        return device
    }

    /// The array that the members of a pool are part of; nil when there is none.
    func array(of record: PoolRecord) -> MDArray? {
        record.members.lazy.compactMap { device(of: $0, in: record) }
            .compactMap(array(holding:)).first
    }
}
