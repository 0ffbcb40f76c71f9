internal import Glibc
internal import KernelDisks
internal import LinuxHost
internal import LinuxIO
package import Logging
internal import NBDKernel
package import ProgramSupport
internal import SystemPackage

/// Takes a pool down, even one whose `pool up` was killed at any step. `pool down`
package struct PoolDown {
    private let directory: PoolDirectory
    private let machine: any PoolMachine
    private var mdadm: Mdadm { Mdadm(machine) }

    /// The time in milliseconds to wait for processes that open the array after it is unmounted, as udev does, and for
    /// systemd, which may be unmounting it.
    private static let busyTimeLimit = 60_000
    /// Milliseconds between two attempts.
    private static let interval = 100

    init(directory: PoolDirectory, machine: any PoolMachine) {
        self.directory = directory
        self.machine = machine
    }

    /// Takes down the pool that the argument names. A pool in use stays up.
    package static func run(_ target: String, logger: Logger) throws(Failure) {
        let found: PoolRecord
        do throws(Failure) {
            found = try PoolDirectory.record(of: target)
        } catch {
            PoolDirectory()?.removeLock(of: target)
            throw error
        }
        let directory = try PoolDirectory.make()
        do {
            let lock = try directory.lock(found.name)
            defer { extendLifetime(lock) }
            // Another command may have changed the pool before the lock was free.
            guard let record = directory.current(found.name) else { return }
            try PoolDown(directory: directory, machine: ThisMachine(logger: logger)).takeDown(
                record)
        }
        directory.removeIfEmpty()
    }

    /// Takes a pool down that this process has locked.
    func takeDown(_ record: PoolRecord) throws(Failure) {
        try machine.endStrays(of: record.name)
        let arrays = record.members.compactMap { machine.device(of: $0, in: record) }
            .compactMap(machine.array(holding:))
        for array in arrays.reduce(into: [MDArray](), { if !$0.contains($1) { $0.append($1) } }) {
            try stop(array, record)
        }
        // Try every member: one that cannot be detached must not keep the others attached.
        let members = PoolMembers(directory: directory, machine: machine)
        var failure: Failure?
        for member in record.members {
            do throws(Failure) {
                try members.detach(member, of: record)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        // Last, when no array of the pool can have members any more.
        removeLink(record)
        if let point = record.mountPoint {
            Directory.removeEmpty(point, levels: record.madeDirectories)
        }
        directory.remove(record)
    }

    /// Unmounts and stops the array. One that anything else uses, in this mount namespace or another, stays as it
    /// is. If it cannot be stopped all the same, it is mounted again.
    private func stop(_ array: MDArray, _ record: PoolRecord) throws(Failure) {
        try machine.requireUnused(array.path, except: record.mountPoint)
        var mount: Mount?
        if let point = record.mountPoint {
            mount = try FileSystemConfiguration.unmount(array.path, from: point)
        }
        do throws(Failure) {
            try machine.requireUnused(array.path, except: nil)
            try stop(array)
        } catch {
            if let mount {
                try FileSystemConfiguration.mountAgain(mount, needsNetwork: record.isRemote)
            }
            throw error
        }
    }

    private func stop(_ array: MDArray) throws(Failure) {
        let deadline = MonotonicTime.now().adding(milliseconds: Self.busyTimeLimit)
        while true {
            do throws(Failure) {
                return try mdadm.run(["--stop", array.path], to: "stop \(array.path)")
            } catch {
                guard .now() < deadline else { throw error }
                Thread.sleep(milliseconds: Self.interval)
            }
        }
    }

    /// Removes the array's name, which mdadm leaves where no udev removes it.
    private func removeLink(_ record: PoolRecord) {
        let link = PoolArray.mdPath(record.name)
        guard (try? FileStatus.of(link, followingLinks: false)) != nil, !isArrayBehind(link) else {
            return
        }
        Directory.removeFile(link)
        Directory.removeEmpty("/dev/md")
    }

    /// Whether a name leads to an array that has members.
    private func isArrayBehind(_ link: String) -> Bool {
        guard let path = unsafe realpath(link, nil) else { return false }
        defer { unsafe free(path) }
        let name = unsafe String(cString: path).split(separator: "/").last ?? ""
        return !MDArray(name: String(name)).devices.isEmpty
    }
}
