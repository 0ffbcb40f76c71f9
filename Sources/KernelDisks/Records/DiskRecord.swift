// What is written down of a disk that is up, so that others can find it, also when nobody looks after
// it any more.

package import ProgramSupport
package import ServerHost
package import LinuxHost
internal import LinuxIO
package import NBDKernel
internal import SystemPackage

/// The record of one disk.
package struct DiskRecord: Sendable, Equatable {
    /// What its file is called: made at random, since a process id can come again.
    package var token: String
    /// The process that looks after it.
    package var owner: ProcessIdentity
    /// The process that serves it, if that is another.
    package var worker: ProcessIdentity?
    /// What the kernel's device was attached under; written down before it is attached. Nil before the memory
    /// is there.
    package var identifier: String?
    /// The device, once there is one.
    package var device: NBDDevice?
    /// Bytes in the disk.
    package var size: UInt64 = 0
    /// Where it is mounted.
    package var mountPoint: String?
    /// How many directories were made for it: the mount point, and those above.
    package var madeDirectories = 0
    /// Whether the kernel has accepted that the device goes, and only its users keep it.
    package var isDetaching = false
    /// The kind of the file system.
    package var fileSystem: String?
    /// The memory, when that outlives the server.
    package var backing: BackingConfiguration?
    /// Whether that is of the machine's reserved large pages.
    package var usesReservedPages = false
    /// The server, when it is not this program's own.
    package var remote: String?
    /// How many queues the device has.
    package var queues = 1
    /// Where a daemon's log is.
    package var log: String?

    package init(owner: ProcessIdentity, token: String = Self.newToken()) {
        self.owner = owner
        self.token = token
    }

    /// The file that its memory is; nil when it has none, or is not to be found.
    package var backingPath: String? { backing?.path(usesReservedPages) }

    private static func newToken() -> String {
        String(UInt64.random(in: .min ... .max), radix: 36)
    }

    /// The device, also when its owner was killed before it could write it down.
    ///
    /// - Throws: what kept it from being known whether the recorded device is attached.
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
    /// A line for each thing: its name, a space, its value.
    package var text: String {
        var lines = [
            ("owner", "\(owner.pid) \(owner.start)"), ("size", "\(size)"),
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
        add("log", log)
        return lines.map { "\($0) \(Self.escaped($1))\n" }.joined()
    }

    /// Nil for what is not a record. The token is its file's name.
    package init?(text: String, token: String) {
        var values: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            if parts.count == 2 { values[String(parts[0])] = Self.unescaped(parts[1]) }
        }
        guard let owner = values["owner"].flatMap(Self.process) else { return nil }
        self.init(owner: owner, token: token)
        identifier = values["identifier"]
        remote = values["remote"]
        worker = values["worker"].flatMap(Self.process)
        device = values["device"].flatMap(NBDDevice.init(path:))
        size = values["size"].flatMap { UInt64($0) } ?? 0
        mountPoint = values["mount"]
        madeDirectories = values["made-directories"].flatMap { Int($0) } ?? 0
        isDetaching = values["detaching"] == "yes"
        fileSystem = values["filesystem"]
        backing = values["backing"].map { name in
            BackingConfiguration(
                name: name, directory: values["backing-directory"],
                isKept: values["keep"] == "yes")
        }
        usesReservedPages = values["huge-pages"] == "yes"
        queues = values["queues"].flatMap { Int($0) } ?? 1
        log = values["log"]
    }

    private static func process(_ text: String) -> ProcessIdentity? {
        let words = text.split(separator: " ")
        guard words.count == 2, let pid = Int32(words[0]), let start = UInt64(words[1]) else {
            return nil
        }
        return ProcessIdentity(pid: pid, start: start)
    }

    /// A path may have a line's end in it.
    private static func escaped(_ text: String) -> String {
        text.flatMap { character -> [Character] in
            switch character {
            case "\\": ["\\", "\\"]
            case "\n": ["\\", "n"]
            default: [character]
            }
        }.reduce(into: "") { $0.append($1) }
    }

    private static func unescaped(_ text: Substring) -> String {
        var result = ""
        var isEscaped = false
        for character in text {
            if isEscaped {
                result.append(character == "n" ? "\n" : character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else {
                result.append(character)
            }
        }
        return result
    }
}

extension NBDDevice {
    /// What it is attached under; nil when it is not attached.
    ///
    /// - Throws: a sentence when that cannot be known. It must then be treated as attached.
    package func requireBackend() throws(Failure) -> String? {
        do throws(Errno) {
            return try backend()
        } catch {
            throw .system("cannot find out whether \(self) is attached: \(error)")
        }
    }
}
