internal import NBDKernel
internal import Observability
package import ProgramSupport
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// The directory of records: where this user's processes leave what others look for.
package struct RuntimeDirectory: Sendable {
    package let path: String

    /// A directory that is there.
    package init(path: String) { self.path = path }

    /// Nil when others may have put something there: that is not to be believed.
    package init?() {
        let places = RuntimeDirectories()
        path = places.standard
        guard places.isSafe(path) else { return nil }
    }

    /// Makes the directory if it is not there.
    package static func make() throws(Failure) -> RuntimeDirectory {
        let places = RuntimeDirectories()
        try places.make(places.standard)
        guard let directory = RuntimeDirectory() else {
            throw .notPermitted("the directory \(places.standard) is not this user's alone")
        }
        return directory
    }

    /// The file of a record.
    package func recordPath(_ token: String) -> String { "\(path)/\(token).disk" }

    /// The log of a daemon that was started by a process.
    package func logPath(of process: Int32) -> String { "\(path)/\(process).log" }

    /// All records that are there.
    package var records: [DiskRecord] {
        Directory.names(in: path).filter { $0.hasSuffix(".disk") }.compactMap { name in
            TextFile.read("\(path)/\(name)").flatMap {
                DiskRecord(text: $0, token: String(name.dropLast(".disk".count)))
            }
        }
    }

    /// The record as it is now; nil when it has been removed.
    package func current(_ record: DiskRecord) -> DiskRecord? {
        TextFile.read(recordPath(record.token)).flatMap {
            DiskRecord(text: $0, token: record.token)
        }
    }

    /// Writes a record in the place of the one before.
    package func write(_ record: DiskRecord) throws(Failure) {
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
    package func remove(_ record: DiskRecord, living: DiskRecord? = nil) {
        Directory.removeFile(recordPath(record.token))
        if let log = record.log, log != living?.log { Directory.removeFile(log) }
        if record.owner.pid != living?.owner.pid {
            Directory.removeFile(ControlConfiguration.path(in: path, of: record.owner.pid))
        }
        Directory.removeEmpty(path)
    }

    /// The device that the server's disk is attached to, and where that is mounted, if `up` has brought it
    /// up: its record says so.
    package static func device(of pid: Int32) -> String? {
        let record = RuntimeDirectory()?.records.first { record in
            record.owner.pid == pid || record.worker?.pid == pid
        }
        guard let record, let device = (try? record.attachedDevice()) ?? nil else { return nil }
        return device.path + (record.mountPoint.map { ", at \($0)" } ?? "")
    }
}
