internal import NBDKernel
internal import Observability
package import ProgramSupport
internal import ServerHost
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// The directory in which this user's processes keep their records, control sockets and logs.
package struct RuntimeDirectory: Sendable {
    package let path: String

    /// A directory that exists.
    init(path: String) { self.path = path }

    /// This user's standard directory; nil when other users can write to it, since its content cannot be
    /// trusted then.
    package init?() {
        let directories = RuntimeDirectories()
        path = directories.standard
        guard directories.isSafe(path) else { return nil }
    }

    /// Creates the standard directory if it does not exist.
    package static func make() throws(Failure) -> RuntimeDirectory {
        let directories = RuntimeDirectories()
        try directories.make(directories.standard)
        guard let directory = RuntimeDirectory() else {
            throw .notPermitted(
                "the directory \(directories.standard) can be written by other users: remove it, then try again"
            )
        }
        return directory
    }

    /// Returns the path of a record's file.
    func recordPath(_ token: String) -> String { "\(path)/\(token).disk" }

    /// Returns the path of the log of a daemon that the process with this pid has started.
    func logPath(of process: Int32) -> String { "\(path)/\(process).log" }

    /// All records in the directory.
    package var records: [DiskRecord] {
        Directory.names(in: path).filter { $0.hasSuffix(".disk") }.compactMap { name in
            TextFile.read("\(path)/\(name)").flatMap {
                DiskRecord(text: $0, token: String(name.dropLast(".disk".count)))
            }
        }
    }

    /// Returns the records of the disks that a user means by a mount point, a device or a backing.
    ///
    /// - Throws: when there is none, or when it cannot be determined whether a device is attached.
    package static func records(of target: String) throws(Failure) -> [DiskRecord] {
        let records = RuntimeDirectory()?.records ?? []
        let path = absolutePath(target)
        let device = NBDDevice(path: target)
        // A device, a mount point and a backing may have the same name. Only the first kind that matches counts.
        var attached: [DiskRecord] = []
        if let device {
            for record in records where try record.attachedDevice() == device {
                attached.append(record)
            }
        }
        for found in [
            attached, records.filter { $0.mountPoint == path },
            records.filter { $0.backing?.name == target },
        ] where !found.isEmpty {
            return found
        }
        if let device, (try? device.isConnected()) != false {
            throw .unavailable(
                "`ramdisk-nbd up` did not attach \(device): use ramdisk-nbd detach \(device)")
        }
        throw .unavailable(
            "there is no disk at \(target); ramdisk-nbd list shows the disks that are up")
    }

    /// Reads the record again; nil when it has been removed.
    func current(_ record: DiskRecord) -> DiskRecord? {
        TextFile.read(recordPath(record.token)).flatMap {
            DiskRecord(text: $0, token: record.token)
        }
    }

    /// Writes a record, and replaces the previous version atomically.
    func write(_ record: DiskRecord) throws(Failure) {
        let file = recordPath(record.token)
        do throws(Errno) {
            try TextFile.replace(file, with: record.text)
        } catch {
            throw .cannotCreate("cannot write the disk's record \(file): \(error)")
        }
    }

    /// Removes a record and its files: the log, and the control socket if the listening process could not
    /// remove it. The names of these files contain a pid. When `living`, the record that stays, has the same
    /// pid, they belong to that disk and are not removed.
    func remove(_ record: DiskRecord, living: DiskRecord? = nil) {
        Directory.removeFile(recordPath(record.token))
        if let log = record.log, log != living?.log { Directory.removeFile(log) }
        if record.supervisor.pid != living?.supervisor.pid {
            Directory.removeFile(ControlConfiguration.path(in: path, of: record.supervisor.pid))
        }
        Directory.removeEmpty(path)
    }

    /// Returns the device that the disk of a server is attached to, and its mount point, if a record names
    /// the server's pid.
    package static func device(of pid: Int32) -> String? {
        let record = RuntimeDirectory()?.records.first { record in
            record.supervisor.pid == pid || record.worker?.pid == pid
        }
        guard let record, let device = (try? record.attachedDevice()) ?? nil else { return nil }
        return device.path + (record.mountPoint.map { ", at \($0)" } ?? "")
    }
}
