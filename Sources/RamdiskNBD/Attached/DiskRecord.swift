// What is written down of a disk that is up, so that others can find it, also when nobody looks after
// it any more.

internal import LinuxIO
internal import NBDKernel

/// The record of one disk.
struct DiskRecord: Sendable, Equatable {
    /// The process that looks after it.
    var owner: ProcessIdentity
    /// The process that serves it, if that is another.
    var worker: ProcessIdentity?
    /// What the kernel's device was attached under; written down before it is attached.
    var identifier: String
    /// The device, once there is one.
    var device: NBDDevice?
    /// Bytes in the disk.
    var size: UInt64 = 0
    /// Where it is mounted.
    var mountPoint: String?
    /// Whether the mount point was made for it.
    var madeMountPoint = false
    /// The kind of the file system.
    var fileSystem: String?
    /// The memory, when that outlives the server.
    var backing: BackingPlan?
    /// Whether that is of the machine's reserved large pages.
    var usesReservedPages = false
    /// How many queues the device has.
    var queues = 1
    /// Where a daemon's log is.
    var log: String?

    init(owner: ProcessIdentity, identifier: String) {
        self.owner = owner
        self.identifier = identifier
    }

    /// The device, also when its owner was killed before it could write it down.
    var attachedDevice: NBDDevice? {
        if let device { return device.backend == identifier ? device : nil }
        return NBDDevice.all.first { $0.backend == identifier }
    }
}

// MARK: - As text

extension DiskRecord {
    /// A line for each thing: its name, a space, its value.
    var text: String {
        var lines = [
            ("owner", "\(owner.number) \(owner.start)"), ("identifier", identifier),
            ("size", "\(size)"), ("queues", "\(queues)"),
        ]
        func add(_ name: String, _ value: String?) {
            if let value { lines.append((name, value)) }
        }
        add("worker", worker.map { "\($0.number) \($0.start)" })
        add("device", device?.path)
        add("mount", mountPoint)
        add("made-mount-point", madeMountPoint ? "yes" : nil)
        add("filesystem", fileSystem)
        add("backing", backing?.name)
        add("backing-directory", backing?.directory)
        add("keep", backing?.isKept == true ? "yes" : nil)
        add("huge-pages", usesReservedPages ? "yes" : nil)
        add("log", log)
        return lines.map { "\($0) \(Self.escaped($1))\n" }.joined()
    }

    /// Nil for what is not a record.
    init?(text: String) {
        var values: [String: String] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 1)
            if parts.count == 2 { values[String(parts[0])] = Self.unescaped(parts[1]) }
        }
        guard let owner = values["owner"].flatMap(Self.process),
            let identifier = values["identifier"]
        else { return nil }
        self.init(owner: owner, identifier: identifier)
        worker = values["worker"].flatMap(Self.process)
        device = values["device"].flatMap(NBDDevice.init(path:))
        size = values["size"].flatMap { UInt64($0) } ?? 0
        mountPoint = values["mount"]
        madeMountPoint = values["made-mount-point"] == "yes"
        fileSystem = values["filesystem"]
        backing = values["backing"].map { name in
            BackingPlan(
                name: name, directory: values["backing-directory"],
                isKept: values["keep"] == "yes")
        }
        usesReservedPages = values["huge-pages"] == "yes"
        queues = values["queues"].flatMap { Int($0) } ?? 1
        log = values["log"]
    }

    private static func process(_ text: String) -> ProcessIdentity? {
        let words = text.split(separator: " ")
        guard words.count == 2, let number = Int32(words[0]), let start = UInt64(words[1]) else {
            return nil
        }
        return ProcessIdentity(number: number, start: start)
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
