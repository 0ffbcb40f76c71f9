internal import ServerHost
internal import KernelDisks
internal import ObservabilityClient
internal import Observability
internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import ProgramSupport

/// One disk, or one device, as it is now.
struct DiskRow: Sendable, Equatable {
    /// What can be said of it in a word or two.
    enum State: String, Sendable {
        /// Served, and looked after.
        case up
        /// Being started.
        case starting
        /// The kernel has accepted that the device goes; what has it open keeps it.
        case detaching
        /// Attached to a server elsewhere that is looked after by `attach --stay`.
        case watched
        /// Its server is gone: `up` with the same backing goes on with it, `down` takes it away.
        case orphaned
        /// Attached by another program, or by `attach` without a process that stays.
        case attached
        /// Served to clients, and not attached here by `up`.
        case served
    }

    var device: String?
    var size: UInt64
    /// Bytes in use in the file system, when it is mounted.
    var used: UInt64?
    var fileSystem: String?
    var mountPoint: String?
    var backing: String?
    /// The server of a device that `attach` has attached.
    var server: String?
    var state: State
    /// The process that looks after it.
    var process: Int32?
    /// The process that serves it, if that is another.
    var worker: Int32?

    /// All there are, in the order of their devices.
    static var all: [DiskRow] {
        let records = RuntimeDirectory()?.records ?? []
        let ours = records.map(DiskRow.init(record:))
        let devices = Set(ours.compactMap(\.device))
        let others = NBDDevice.all.filter {
            (try? $0.isConnected()) == true && !devices.contains($0.path)
        }
        let attached = (ours + others.map(DiskRow.init(device:))).sorted {
            let first = $0.device.flatMap(NBDDevice.init(path:))?.index ?? .max
            let second = $1.device.flatMap(NBDDevice.init(path:))?.index ?? .max
            return first < second
        }
        let known = Set(records.flatMap { [$0.supervisor.pid, $0.worker?.pid ?? 0] })
        return attached + served(besides: known)
    }

    /// The disks of servers that can be asked, without those of the processes named.
    private static func served(besides known: Set<Int32>) -> [DiskRow] {
        ControlSearch().sockets.flatMap { socket -> [DiskRow] in
            guard let stats = try? ControlClient(path: socket).get("/stats", as: Stats.self),
                !known.contains(stats.server.pid)
            else { return [] }
            return stats.disks.map { DiskRow(disk: $0, of: stats.server) }
        }
    }

    private init(disk: DiskStats, of server: ServerStats) {
        self.init(device: nil, size: disk.sizeBytes)
        used = disk.residentBytes
        self.server = server.addresses.map { address in
            disk.export.isEmpty || address.contains("?") ? address : "\(address)/\(disk.export)"
        }.joined(separator: ", ")
        process = server.pid
        state = .served
    }

    private init(record: DiskRecord) {
        let device = (try? record.attachedDevice()) ?? nil
        self.init(device: device, size: record.size)
        backing = record.backing?.name
        server = record.remote
        fileSystem = fileSystem ?? record.fileSystem
        let isRunning = record.supervisor.isRunning
        state =
            record.isDetaching
            ? .detaching
            : !isRunning ? .orphaned : device == nil ? .starting : server == nil ? .up : .watched
        process = isRunning ? record.supervisor.pid : nil
        worker = record.worker.flatMap { $0.isRunning ? $0.pid : nil }
    }

    private init(device: NBDDevice) {
        self.init(device: device, size: device.size)
    }

    private init(device: NBDDevice?, size: UInt64) {
        self.device = device?.path
        self.size = size
        state = .attached
        let mount = device.flatMap { Mount.all(of: $0.path).first }
        mountPoint = mount?.point
        if let device, BlockDeviceUse.isSwap(device.path) { mountPoint = "[SWAP]" }
        let identifier = device.flatMap { (try? $0.backend()) ?? nil } ?? ""
        let prefix = "ramdisk-nbd:uri="
        if identifier.hasPrefix(prefix) { server = String(identifier.dropFirst(prefix.count)) }
        fileSystem = mount?.type
        used = mount.flatMap { FileSystemUse(path: $0.point)?.used }
    }
}

// MARK: - For people

extension DiskRow {
    /// Returns a table with a header row.
    static func table(_ rows: [DiskRow]) -> String {
        guard !rows.isEmpty else { return "No disk is up, and no device is attached.\n" }
        let titles = [
            "DEVICE", "SIZE", "USED", "FILESYSTEM", "MOUNTED AT", "BACKING OR SERVER", "STATE",
        ]
        return TextTable(titles.map { .left($0) }, rows: rows.map(\.cells)).text
    }

    private var cells: [String] {
        [
            device ?? "-", Self.short(size), used.map(Self.short) ?? "-", fileSystem ?? "-",
            mountPoint ?? "-", backing ?? server ?? "-", state.rawValue,
        ]
    }

    /// Bytes with a letter: `40M`, `1.5G`.
    static func short(_ bytes: UInt64) -> String {
        for (shift, letter) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] as [(UInt64, String)]
        where bytes >= 1 << shift {
            let tenths = ((bytes >> (shift - 10)) * 10) >> 10
            return tenths % 10 == 0
                ? "\(tenths / 10)\(letter)" : "\(tenths / 10).\(tenths % 10)\(letter)"
        }
        return "\(bytes)"
    }
}

// MARK: - For programs

extension DiskRow {
    /// An array of objects; what is not there is null. Sizes are in bytes.
    static func json(_ rows: [DiskRow]) -> String {
        "[" + rows.map(\.object).joined(separator: ",\n ") + "]\n"
    }

    private var object: String {
        func number(_ value: (some BinaryInteger)?) -> String { value.map { "\($0)" } ?? "null" }
        func text(_ value: String?) -> String { value.map(Self.quoted) ?? "null" }
        return "{"
            + [
                "\"device\": \(text(device))", "\"size\": \(size)", "\"used\": \(number(used))",
                "\"filesystem\": \(text(fileSystem))", "\"mount\": \(text(mountPoint))",
                "\"backing\": \(text(backing))", "\"server\": \(text(server))",
                "\"state\": \(text(state.rawValue))",
                "\"pid\": \(number(process))", "\"worker\": \(number(worker))",
            ].joined(separator: ", ") + "}"
    }

    /// A JSON string (RFC 8259, section 7).
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
