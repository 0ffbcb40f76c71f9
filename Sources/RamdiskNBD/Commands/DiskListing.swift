internal import ServerHost
internal import KernelDisks
internal import ObservabilityClient
internal import Observability
internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import ProgramSupport

/// A disk or device in its current state.
struct DiskRow: Sendable, Equatable {
    /// The state in a word.
    enum State: String, Sendable {
        /// Served, with a running supervisor.
        case up
        /// Starting.
        case starting
        /// Detached; a process that has the device open holds it.
        case detaching
        /// Attached by `attach --stay`, whose keeper is running.
        case watched
        /// The supervisor is dead: `up` with the same backing takes the disk over, `down` takes it down.
        case orphaned
        /// Attached by another program, or by `attach` without --stay.
        case attached
        /// Served to clients, and not a kernel disk.
        case served
    }

    var device: String?
    var size: UInt64
    /// Bytes in use in the file system, when it is mounted.
    var used: UInt64?
    var fileSystem: String?
    var mountPoint: String?
    var backing: String?
    /// The server of a device that `attach` attached.
    var server: String?
    var state: State
    /// The pid of the supervisor, keeper or server.
    var process: Int32?
    /// The pid of the worker, if there is one.
    var worker: Int32?

    /// All disks and attached devices, by the index of the device.
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

    /// Returns the disks of servers with a control socket, without those of the processes named.
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

// MARK: - Table

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

    /// Returns bytes with a unit: `40M`, `1.5G`.
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

// MARK: - JSON

extension DiskRow {
    /// Returns an array of objects; a missing value is null. Sizes are in bytes.
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

    /// Returns a JSON string (RFC 8259, section 7).
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
