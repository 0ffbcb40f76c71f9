internal import Glibc
package import KernelDisks
internal import LinuxHost
internal import LinuxIO
package import Logging
internal import NBDKernel
package import ProgramSupport
internal import SystemPackage

/// Brings a pool up: attaches its members, assembles them into an array, and mounts it. `pool up`
package struct PoolUp {
    private let plan: PoolConfiguration
    private let logger: Logger
    private let stop: SupervisorMailbox
    private let machine: any PoolMachine

    package init(_ plan: PoolConfiguration, logger: Logger, stop: SupervisorMailbox) {
        self.init(plan, logger: logger, stop: stop, machine: ThisMachine(logger: logger))
    }

    init(
        _ plan: PoolConfiguration, logger: Logger, stop: SupervisorMailbox,
        machine: any PoolMachine
    ) {
        self.plan = plan
        self.logger = logger
        self.stop = stop
        self.machine = machine
    }

    /// Returns the pool once it is up. When a step fails, or a signal asks to stop, the steps before it are undone.
    package func callAsFunction() throws(Failure) -> PoolStatus {
        guard Privileges.canAdminister else {
            throw .notPermitted("a pool needs root, or CAP_SYS_ADMIN")
        }
        return try bringUp { () throws(Failure) in try PoolDirectory.make() }
    }

    /// Brings the pool up.
    ///
    /// - Parameter makeDirectory: makes the runtime directory. Called after the look-up of services: name servers may take
    ///   long to reply, and another command would remove the empty directory meanwhile.
    func bringUp(
        makeDirectory: () throws(Failure) -> PoolDirectory
    ) throws(Failure) -> PoolStatus {
        let sources = try plan.sources(on: machine)
        try requireNoStop()
        let directory = try makeDirectory()
        defer { directory.removeIfEmpty() }
        return try bringUp(sources, directory)
    }

    private func bringUp(
        _ sources: [MemberSource], _ directory: PoolDirectory
    ) throws(Failure) -> PoolStatus {
        let lock = try directory.lock(plan.name)
        defer { extendLifetime(lock) }
        guard directory.current(plan.name) == nil else {
            throw .unavailable(
                "there is a pool \(plan.name) already: take it down first, with ramdisk-nbd pool down "
                    + "\(plan.name), or choose another --name")
        }
        try requireFreeMountPoint()
        machine.mark(plan.name)
        var record = PoolRecord(name: plan.name, level: plan.level, timeout: plan.timeout)
        do throws(Failure) {
            try bringUp(sources, &record, directory)
        } catch {
            undo(record, directory)
            throw error
        }
        return PoolStatus(record, on: machine)
    }

    private func bringUp(
        _ sources: [MemberSource], _ record: inout PoolRecord, _ directory: PoolDirectory
    ) throws(Failure) {
        let attachment = PoolMembers(directory: directory, machine: machine)
        var members: [(MemberSource, NBDDevice)] = []
        for source in sources where source != .missing {
            members.append((source, try attachment.attach(source, to: &record, stop: stop)))
            try requireNoStop()
        }
        Self.settleDevices()
        let (array, isNew) = try PoolArray(plan, sources, members, on: machine)()
        try requireNoStop()
        try mount(array, isNew: isNew, &record, directory)
        try requireNoStop()
    }

    /// Makes a file system on a blank array, and mounts it.
    private func mount(
        _ array: MDArray, isNew: Bool, _ record: inout PoolRecord, _ directory: PoolDirectory
    ) throws(Failure) {
        let contents: DeviceContents =
            try isNew ? .blank : DeviceContents(of: array.path, on: machine)
        let isMade = contents == .blank && plan.fileSystem.kind != .none
        if isMade { try plan.fileSystem.make(on: array.path) }
        guard let point = plan.fileSystem.mountPoint else { return }
        try requireNoStop()
        record.madeDirectories = try plan.fileSystem.makeMountPoint()
        record.mountPoint = point
        try directory.write(record)
        try plan.fileSystem.mount(array.path, isNew: isMade, needsNetwork: record.isRemote)
    }

    private func undo(_ record: PoolRecord, _ directory: PoolDirectory) {
        do throws(Failure) {
            try PoolDown(directory: directory, machine: machine).takeDown(record)
        } catch {
            logger.error(
                "a part of the pool is left, which ramdisk-nbd pool down takes down: \(error.sentence)"
            )
        }
    }

    private func requireNoStop() throws(Failure) {
        guard stop.isStopRequested else { return }
        throw Failure(
            .other(128 + stop.signal),
            "signal \(stop.signal) interrupted the start; there is no pool")
    }

    private func requireFreeMountPoint() throws(Failure) {
        guard let point = plan.fileSystem.mountPoint,
            let other = Mount.all.last(where: { $0.point == point })
        else { return }
        throw .unavailable(
            "\(other.source) is mounted at \(point) already: unmount it first, or choose another --mount directory"
        )
    }

    /// Waits until udev has processed new devices: udev may assemble an array of them. udevadm(8)
    private static func settleDevices() {
        guard unsafe access("/run/udev/control", F_OK) == 0 else { return }
        _ = try? ChildProcess.run("udevadm", ["settle", "--timeout=10"])
    }
}
