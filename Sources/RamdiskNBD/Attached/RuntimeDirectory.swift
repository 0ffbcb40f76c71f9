// Where running disks leave their records for `down` and `list`.

internal import LinuxIO
internal import SystemPackage

/// The directory of records: where this user's processes leave what others look for.
struct RuntimeDirectory: Sendable {
    let path: String

    /// Nil when others may have put something there: that is not to be believed.
    init?() {
        let places = RuntimePlaces()
        path = places.standard
        guard places.isSafe(path) else { return nil }
    }

    /// Makes the directory if it is not there.
    static func make() throws(Failure) -> RuntimeDirectory {
        let places = RuntimePlaces()
        try places.make(places.standard)
        guard let directory = RuntimeDirectory() else {
            throw .notPermitted("the directory \(places.standard) is not this user's alone")
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
