// Where running disks leave their records for `down` and `list`.

internal import Glibc
internal import LinuxIO
internal import SystemPackage

/// The directory of records: /run/ramdisk-nbd for root, else in the user's own runtime directory.
struct RuntimeDirectory: Sendable {
    let path: String

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

    /// The record of the disk that a process looks after.
    func recordPath(of process: Int32) -> String { "\(path)/\(process).disk" }

    /// The log of a daemon that was started by a process.
    func logPath(of process: Int32) -> String { "\(path)/\(process).log" }

    /// All records that are there.
    var records: [DiskRecord] {
        Directory.names(in: path).filter { $0.hasSuffix(".disk") }
            .compactMap { TextFile.read("\(path)/\($0)").flatMap(DiskRecord.init(text:)) }
    }

    /// Writes a record in the place of the one before.
    func write(_ record: DiskRecord) throws(Failure) {
        let file = recordPath(of: record.owner.number)
        do throws(Errno) {
            try TextFile.replace(file, with: record.text)
        } catch {
            throw .cannotCreate("cannot write the disk's record \(file): \(error)")
        }
    }

    /// Removes a record, and what goes with it: the log, and the control socket's file, if whoever
    /// listened there could not.
    func remove(_ record: DiskRecord) {
        Directory.removeFile(recordPath(of: record.owner.number))
        if let log = record.log { Directory.removeFile(log) }
        Directory.removeFile(ControlPlan.path(in: path, of: record.owner.number))
        Directory.removeEmpty(path)
    }
}
