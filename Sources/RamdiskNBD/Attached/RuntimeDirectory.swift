// Where running disks leave their records for `down` and `list`.

internal import Glibc
internal import LinuxIO
internal import SystemPackage

/// The directory of records: /run/ramdisk-nbd for root, else in the user's own runtime directory.
struct RuntimeDirectory: Sendable {
    let path: String

    /// A directory that is there.
    init(path: String) { self.path = path }

    /// Nil when this user has none.
    init?() {
        if geteuid() == 0 {
            path = "/run/ramdisk-nbd"
        } else if let parent = unsafe getenv("XDG_RUNTIME_DIR").map({ unsafe String(cString: $0) }),
            parent.hasPrefix("/")
        {
            path = parent + "/ramdisk-nbd"
        } else {
            return nil
        }
    }

    /// Makes the directory if it is not there.
    static func make() throws(Failure) -> RuntimeDirectory {
        guard let directory = RuntimeDirectory() else {
            throw .notPermitted(
                "there is no place for the disk's record: XDG_RUNTIME_DIR is not set; "
                    + "run this as root")
        }
        do throws(Errno) {
            _ = try Directory.make(directory.path, mode: 0o700)
        } catch {
            throw .cannotCreate("cannot make the directory \(directory.path): \(error)")
        }
        return directory
    }

    /// The file of a record.
    func recordPath(_ token: String) -> String { "\(path)/\(token).disk" }

    /// The log of a daemon that was started by a process.
    func logPath(of process: Int32) -> String { "\(path)/\(process).log" }

    /// All records that are there.
    var records: [DiskRecord] {
        Directory.names(in: path).filter { $0.hasSuffix(".disk") }.compactMap { name in
            TextFile.read("\(path)/\(name)").flatMap {
                DiskRecord(text: $0, token: String(name.dropLast(".disk".count)))
            }
        }
    }

    /// The record as it is now; nil when it has been removed.
    func current(_ record: DiskRecord) -> DiskRecord? {
        TextFile.read(recordPath(record.token)).flatMap { DiskRecord(text: $0, token: record.token) }
    }

    /// Writes a record in the place of the one before.
    func write(_ record: DiskRecord) throws(Failure) {
        let file = recordPath(record.token)
        do throws(Errno) {
            try TextFile.replace(file, with: record.text)
        } catch {
            throw .cannotCreate("cannot write the disk's record \(file): \(error)")
        }
    }

    /// Removes a record, and what goes with it: the log, and the control socket's file, if the process that
    /// listened there could not. Files whose names have a process id in them are another disk's when `living`,
    /// the record that stays, has the same process id.
    func remove(_ record: DiskRecord, living: DiskRecord? = nil) {
        Directory.removeFile(recordPath(record.token))
        if let log = record.log, log != living?.log { Directory.removeFile(log) }
        if record.owner.number != living?.owner.number {
            Directory.removeFile(ControlPlan.path(in: path, of: record.owner.number))
        }
        Directory.removeEmpty(path)
    }
}
