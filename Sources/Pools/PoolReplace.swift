package import KernelDisks
internal import LinuxHost
internal import LinuxIO
package import Logging
internal import NBDKernel
internal import NBDProtocol
package import ProgramSupport
internal import SystemPackage

/// Replaces a member of a pool with another, or adds a dropped member again. `pool replace`
package struct PoolReplace {
    /// The arguments of `pool replace`.
    package struct Request: Sendable {
        /// The pool, and the member to replace: its text or its device, or `missing`.
        let pool: String
        let old: String
        let new: MemberSource
        /// Whether the user says that the new member still holds its contents from when it was last part of the array.
        let hasMemory: Bool
        /// Whether to overwrite the new member, whatever it holds.
        let isForced: Bool

        package init(pool: String, old: String, new: MemberSource, hasMemory: Bool, isForced: Bool)
        {
            self.pool = pool
            self.old = old
            self.new = new
            self.hasMemory = hasMemory
            self.isForced = isForced
        }
    }

    private let request: Request
    /// The pool's record as it was before the pool was locked.
    private let found: PoolRecord
    private let directory: PoolDirectory
    private let members: PoolMembers
    private let stop: SupervisorMailbox
    private let machine: any PoolMachine
    private var mdadm: Mdadm { Mdadm(machine) }

    /// The time in milliseconds, in addition to the request timeout, in which a server that replies to a new connection
    /// finishes the requests of the old one, which has ended. Within the timeout the kernel may still deliver them. A
    /// server that was paused executes them when it continues, and they would overwrite newer data. They are at most
    /// what its socket holds, a few MiB.
    private static let settlingTime = 1_000
    /// The time in milliseconds, in addition to the request timeout, within which the kernel must release a faulty
    /// member.
    private static let removalTimeLimit = 5_000
    /// The time in milliseconds after which a member that the kernel does not fill counts as not needed.
    private static let startTimeLimit = 10_000
    /// Milliseconds between two looks at the array.
    private static let interval = 100

    package init(_ request: Request, logger: Logger, stop: SupervisorMailbox) throws(Failure) {
        let found = try PoolDirectory.record(of: request.pool)
        self.init(
            request, found, in: try PoolDirectory.make(), stop: stop,
            machine: ThisMachine(logger: logger))
    }

    init(
        _ request: Request, _ found: PoolRecord, in directory: PoolDirectory,
        stop: SupervisorMailbox, machine: any PoolMachine
    ) {
        self.request = request
        self.found = found
        self.directory = directory
        self.stop = stop
        self.machine = machine
        members = PoolMembers(directory: directory, machine: machine)
    }

    /// Returns the pool once the new member has all data.
    package func callAsFunction() throws(Failure) -> PoolStatus {
        let lock = try directory.lock(found.name)
        defer { extendLifetime(lock) }
        guard var record = directory.current(found.name), let array = machine.array(of: record)
        else { throw .unavailable("the pool \(found.name) is not up") }
        guard record.level.isRedundant else {
            throw .usage("a pool of level 0 has nothing to fill a new member from")
        }
        let old = try oldMember(in: record, array)
        try record.requireNew(request.new, replacing: old)
        machine.mark(record.name)
        let device = try attach(&record)
        let new = record.members[record.members.count - 1]
        do throws(Failure) {
            try put(device, inPlaceOf: old, in: array, &record)
        } catch {
            if array.device(device)?.isInSync != true, !stop.isStopRequested {
                try? release(new, from: array, &record)
            }
            throw error
        }
        return PoolStatus(record, on: machine)
    }

    private func put(
        _ device: NBDDevice, inPlaceOf old: PoolRecord.Member?, in array: MDArray,
        _ record: inout PoolRecord
    ) throws(Failure) {
        let oldDevice = old.flatMap { machine.device(of: $0, in: record) }
        let isOldWorking = oldDevice.flatMap(array.device)?.isInSync == true
        var candidate = PoolArray.Candidate(source: request.new, device: device)
        candidate.contents = try DeviceContents(of: device.path, on: machine)
        try check(candidate, array)
        try requireOther(candidate, array)
        if request.hasMemory { try requireKnownData(of: candidate, in: array) }
        if let old, !isOldWorking { try release(old, from: array, &record) }
        if old?.text == candidate.source.description {
            Thread.sleep(milliseconds: Int(record.timeout) * 1_000 + Self.settlingTime)
        }
        let isMirror = record.level == .mirror
        try PoolArray.add(
            candidate, to: array, on: machine,
            isWriteMostly: isMirror && record.members.contains { $0.isLocal && $0 != old },
            hasMemory: request.hasMemory)
        if isOldWorking, let oldDevice {
            // The old member stays in its slot until the new one has its data.
            try mdadm.run(
                ["--manage", array.path, "--replace", oldDevice.path, "--with", device.path],
                to: "replace \(request.old)")
        }
        try awaitData(of: device, in: array)
        if let old, isOldWorking { try release(old, from: array, &record) }
    }

    /// Attaches the new member; if that fails, removes it from the record.
    private func attach(_ record: inout PoolRecord) throws(Failure) -> NBDDevice {
        let before = record.members
        do throws(Failure) {
            return try members.attach(request.new, to: &record, stop: stop)
        } catch {
            record.members = before
            try? directory.write(record)
            throw error
        }
    }

    // MARK: - Checking

    /// Throws when the new member is a working member under another name.
    private func requireOther(
        _ candidate: PoolArray.Candidate, _ array: MDArray
    ) throws(Failure) {
        guard case .member = candidate.contents else { return }
        var working = DistinctMembers()
        for device in array.devices where !device.isFaulty && device.name != candidate.device.name {
            let path = "/dev/\(device.name)"
            // A member that does not reply does not prevent the replacement of another one.
            guard let contents = try? DeviceContents(of: path, on: machine) else { continue }
            try working.insert(path, contents)
        }
        try working.insert("\(candidate.source)", candidate.contents)
    }

    /// Throws when the new member may have been used without the working ones: the kernel would copy only what was
    /// written to them since, and leave the rest different.
    private func requireKnownData(
        of candidate: PoolArray.Candidate, in array: MDArray
    ) throws(Failure) {
        let history = try mdadm.history(of: candidate.device.path)
        let working = array.devices.filter(\.isInSync).compactMap {
            try? mdadm.history(of: "/dev/\($0.name)")
        }
        guard NewestMembers(of: working).mayMissData(of: history) else { return }
        throw .unavailable(
            "\(candidate.source) was used without the members of \(found.name), so it holds data that they lack: "
                + "without --re-add, `pool replace` overwrites all of it")
    }

    /// Returns the member to replace; nil for `missing`.
    private func oldMember(
        in record: PoolRecord, _ array: MDArray
    ) throws(Failure) -> PoolRecord.Member? {
        guard request.old != MemberSource.missingWord else { return nil }
        let text = (try? NBDURI(request.old)).map { "\($0)" } ?? request.old
        let device = NBDDevice(path: request.old)
        let found = record.members.filter { member in
            member.text == text
                || (device != nil && machine.device(of: member, in: record) == device)
        }
        guard let old = found.first else {
            let texts = record.members.map(\.text).joined(separator: ", ")
            throw .unavailable(
                "\(request.old) is not a member of \(record.name), which has \(texts)")
        }
        guard found.count == 1 else {
            throw .usage("\(found.count) members are called \(text): give the device of one")
        }
        let state = machine.device(of: old, in: record).flatMap(array.device)
        if state?.isInSync == true, case .remote = request.new, old.text == "\(request.new)" {
            throw .unavailable("\(old.text) is in sync: there is nothing to copy to it")
        }
        return old
    }

    /// Throws when the new member holds data that the user may want to keep.
    private func check(
        _ candidate: PoolArray.Candidate, _ array: MDArray
    ) throws(Failure) {
        let identity = try mdadm.identity(of: array)
        switch candidate.contents {
        case .member(let superblock) where superblock.array == identity: return
        case .blank where !request.hasMemory: return
        case .blank:
            throw .unavailable(
                "\(candidate.source) is blank: it has lost its memory, so leave --re-add out")
        case .member where request.isForced && !request.hasMemory: return
        case .other where request.isForced && !request.hasMemory: return
        case .member(let superblock):
            throw .unavailable(
                "\(candidate.source) is part of the array \(superblock.array): the pool would overwrite it; "
                    + "give another member, or --force")
        case .other(let kind):
            throw .unavailable(
                "\(candidate.source) holds \(kind): the pool would overwrite it; give another member, or --force"
            )
        }
    }

    // MARK: - Waiting

    /// Waits until the kernel has copied all data to a member.
    private func awaitData(of device: NBDDevice, in array: MDArray) throws(Failure) {
        let line = ProgressLine("filling \(request.new)")
        defer { line.end() }
        var deadline = MonotonicTime.now().adding(milliseconds: Self.startTimeLimit)
        while true {
            guard let state = array.device(device), !state.isFaulty else {
                throw .inputOutput("\(request.new) has failed while it was filled")
            }
            if state.isInSync { return }
            if let progress = array.progress {
                line.show(progress.done, of: progress.total)
                deadline = MonotonicTime.now().adding(milliseconds: Self.startTimeLimit)
            }
            guard !stop.isStopRequested else {
                throw Failure(
                    .other(128 + stop.signal),
                    "the kernel continues to fill \(request.new); `pool status` shows the progress")
            }
            guard .now() < deadline else {
                throw .unavailable(
                    "the kernel does not fill \(request.new): no slot in the array is free")
            }
            Thread.sleep(milliseconds: Self.interval)
        }
    }

    // MARK: - Releasing

    /// Takes a member out of the array, detaches it, and removes it from the record.
    private func release(
        _ member: PoolRecord.Member, from array: MDArray, _ record: inout PoolRecord
    ) throws(Failure) {
        if let device = machine.device(of: member, in: record),
            let state = array.device(device)
        {
            if !state.isFaulty {
                try mdadm.run(
                    ["--manage", array.path, "--fail", device.path], to: "drop \(member.text)")
            }
            try remove(device, from: array, member)
        }
        try members.detach(member, of: record)
        record.members.removeAll { $0.number == member.number }
        try directory.write(record)
    }

    private func remove(
        _ device: NBDDevice, from array: MDArray, _ member: PoolRecord.Member
    ) throws(Failure) {
        let limit = Int(found.timeout) * 1_000 + Self.removalTimeLimit
        let deadline = MonotonicTime.now().adding(milliseconds: limit)
        while true {
            do throws(Failure) {
                return try mdadm.run(
                    ["--manage", array.path, "--remove", device.path],
                    to: "take \(member.text) out of \(array.path)")
            } catch {
                guard .now() < deadline else { throw error }
                Thread.sleep(milliseconds: Self.interval)
            }
        }
    }
}
