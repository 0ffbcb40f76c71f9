package import ProgramSupport
internal import ServerHost
package import LinuxHost
internal import LinuxIO
package import NBDKernel
internal import SystemPackage

/// The record of one kernel disk. Other processes find the disk through it, even when no process looks after
/// the disk any more.
///
/// Its file has a line of text for each value. A package upgrade leaves disks up, so each version reads the records of
/// earlier versions, and skips lines that it does not know.
package struct DiskRecord: Sendable, Equatable {
    /// The name of the record's file, without the suffix. It is random, since a pid can be reused.
    var token: String
    /// The process that looks after the disk: its supervisor, or the keeper of a remote disk.
    package var supervisor: ProcessIdentity
    /// The worker, if the supervisor does not serve the disk itself.
    var worker: ProcessIdentity?
    /// The text of the device's `backend` attribute, written to the record before the device is attached; nil
    /// before the memory exists.
    var identifier: String?
    /// The device; nil before it is attached.
    var device: NBDDevice?
    /// The size of the disk in bytes.
    var size: UInt64 = 0
    /// The mount point; nil when the disk is not mounted.
    var mountPoint: String?
    /// The number of directories that were created for the mount point: itself and those above it.
    var madeDirectories = 0
    /// Whether the kernel has accepted the disconnection, so that only processes that have the device open
    /// keep it.
    var isDetaching = false
    /// The type of the file system, as mount(8) names it.
    var fileSystem: String?
    /// The backing; nil when the memory ends with the server.
    var backing: BackingConfiguration?
    /// Whether the backing uses the machine's reserved huge pages.
    var usesReservedPages = false
    /// The URI of the remote server; nil when this program serves the disk.
    var remote: String?
    /// The number of queues of the device.
    var queues = 1
    /// The image that the disk is saved to; nil when it has none.
    package var image: String?
    /// The reason why the disk could not be saved before it was taken down; nil when that has not happened.
    var failedSave: FailedSave?
    /// The pool and the member that the disk is; nil when it is not part of a pool.
    package var pool: String?
    /// The path of a daemon's log.
    var log: String?

    /// The last attempt to take a disk down that has failed because the disk could not be saved.
    struct FailedSave: Sendable, Equatable {
        /// The number of such attempts.
        var count: Int
        /// The reason of the failure.
        var sentence: String
    }

    init(supervisor: ProcessIdentity, token: String = Self.newToken()) {
        self.supervisor = supervisor
        self.token = token
    }

    /// The path of the backing; nil when there is none, or its directory cannot be determined.
    var backingPath: String? { backing?.path(usesReservedPages) }

    private static func newToken() -> String {
        String(UInt64.random(in: .min ... .max), radix: 36)
    }

    /// Returns the attached device, even if the supervisor was killed before it could write the device to the
    /// record; nil when none is attached.
    ///
    /// - Throws: when it cannot be determined whether the recorded device is attached.
    package func attachedDevice() throws(Failure) -> NBDDevice? {
        guard let identifier else { return nil }
        guard let device else {
            return NBDDevice.all.first { $0.isAttached(as: identifier) }
        }
        return try device.requireBackend() == identifier ? device : nil
    }
}

// MARK: - As text

extension DiskRecord {
    /// The content of the record's file: a line for each field, with its name, a space and its value.
    var text: String {
        var lines = [
            ("supervisor", "\(supervisor.pid) \(supervisor.start)"), ("size", "\(size)"),
            ("queues", "\(queues)"),
        ]
        func add(_ name: String, _ value: String?) {
            if let value { lines.append((name, value)) }
        }
        add("identifier", identifier)
        add("remote", remote)
        add("worker", worker.map { "\($0.pid) \($0.start)" })
        add("device", device?.path)
        add("mount", mountPoint)
        add("made-directories", madeDirectories == 0 ? nil : "\(madeDirectories)")
        add("detaching", isDetaching ? "yes" : nil)
        add("filesystem", fileSystem)
        add("backing", backing?.name)
        add("backing-directory", backing?.directory)
        add("keep", backing?.isKept == true ? "yes" : nil)
        add("huge-pages", usesReservedPages ? "yes" : nil)
        add("image", image)
        add("failed-save", failedSave.map { "\($0.count) \($0.sentence)" })
        add("pool", pool)
        add("log", log)
        return lines.map { "\($0) \(Self.escaped($1))\n" }.joined()
    }

    /// Reads a record from the content of its file, whose name is the token; nil when the text is not a
    /// record.
    init?(text: String, token: String) {
        var values: [String: String] = [:]
        // As bytes: to Swift, a carriage return and the line feed behind it are one character.
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            let parts = line.split(separator: UInt8(ascii: " "), maxSplits: 1)
            if parts.count == 2 {
                values[String(Substring(parts[0]))] = Self.unescaped(Substring(parts[1]))
            }
        }
        guard let supervisor = values["supervisor"].flatMap(Self.process) else { return nil }
        self.init(supervisor: supervisor, token: token)
        identifier = values["identifier"]
        remote = values["remote"]
        worker = values["worker"].flatMap(Self.process)
        device = values["device"].flatMap(NBDDevice.init(path:))
        size = values["size"].flatMap { UInt64($0) } ?? 0
        mountPoint = values["mount"]
        madeDirectories = max(0, values["made-directories"].flatMap { Int($0) } ?? 0)
        isDetaching = values["detaching"] == "yes"
        fileSystem = values["filesystem"]
        backing = values["backing"].map { name in
            BackingConfiguration(
                name: name, directory: values["backing-directory"],
                isKept: values["keep"] == "yes")
        }
        usesReservedPages = values["huge-pages"] == "yes"
        queues = max(1, values["queues"].flatMap { Int($0) } ?? 1)
        image = values["image"]
        failedSave = values["failed-save"].flatMap(Self.failedSave)
        pool = values["pool"]
        log = values["log"]
    }

    private static func failedSave(_ text: String) -> FailedSave? {
        let words = text.split(separator: " ", maxSplits: 1)
        guard words.count == 2, let count = Int(words[0]) else { return nil }
        return FailedSave(count: count, sentence: String(words[1]))
    }

    private static func process(_ text: String) -> ProcessIdentity? {
        let words = text.split(separator: " ")
        // kill(2) takes other numbers for groups of processes.
        guard words.count == 2, let pid = Int32(words[0]), pid > 0, let start = UInt64(words[1])
        else { return nil }
        return ProcessIdentity(pid: pid, start: start)
    }

    /// A path may contain a newline.
    private static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func unescaped(_ text: Substring) -> String {
        var result = ""
        var isEscaped = false
        for scalar in text.unicodeScalars {
            if isEscaped {
                result.unicodeScalars.append(scalar == "n" ? "\n" : scalar)
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

extension NBDDevice {
    /// Returns the device's `backend` attribute; nil when the device is not attached.
    ///
    /// - Throws: when the attribute cannot be read. The device must then be treated as attached.
    func requireBackend() throws(Failure) -> String? {
        do throws(Errno) {
            return try backend()
        } catch {
            throw .system("cannot determine whether \(self) is attached: \(error)")
        }
    }
}
