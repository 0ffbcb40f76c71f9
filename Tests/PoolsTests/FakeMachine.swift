import Harness
import KernelDisks
@testable import LinuxHost
import LinuxIO
import NBDKernel
import NBDProtocol
import ProgramSupport
import ServiceDiscovery
import Synchronization

@testable import Pools

/// What a disk holds, and a member's superblock if it is one.
struct FakeDisk {
    struct Superblock: Equatable {
        let array: Int
        let level: Int
        let memberCount: Int
        let member: Int
        var events: Int
        /// nil for a spare.
        var place: Int?
        /// `A` or `.` for each place.
        var states: String
        /// In seconds.
        var updateTime = 0
    }

    var superblock: Superblock?
    /// The file system that it holds instead.
    var type: String?
    var isReadable = true
}

/// A machine with the nbd driver and mdadm. Arrays are in a directory that looks like sysfs.
final class FakeMachine: PoolMachine {
    struct State {
        var devices = [NBDDevice(index: 0)]
        /// What is attached to each device: the text of an export, or the label of a local member.
        var attached: [NBDDevice: String] = [:]
        /// The disk behind each export: two texts may mean one disk.
        var exports: [String: Int] = [:]
        var disks: [FakeDisk] = []
        /// The places of the members of the array `md127`; nil for none.
        var array: [NBDDevice: Int]?
        var arrayNumber = 0
        var arrayLevel = 1
        /// Members that mdadm leaves out, whatever they hold.
        var leftOut: Set<NBDDevice> = []
        /// Whether a member that is added fails.
        var isNewFaulty = false
        /// Why something else uses the array, as long as the array is mounted.
        var use: String?
        /// The servers of services.
        var services: [String: [ServiceRecord]] = [:]
        /// Called when a service is about to be looked up, outside the lock.
        var beforeLookup: @Sendable () -> Void = {}
        /// Called when an export is about to be attached, outside the lock.
        var beforeAttach: @Sendable (FakeMachine, NBDDevice) -> Void = { _, _ in }
        /// The programs that were run, the devices that were read, and the attempts on devices that were in use.
        var runs: [String] = []
        var reads: [String] = []
        var conflicts = 0
        var next = 1
    }

    private let directory: TemporaryDirectory
    private let state = Mutex(State())

    init() throws { directory = try TemporaryDirectory() }

    var now: State { state.withLock { $0 } }
    func change(_ body: (inout sending State) -> Void) { state.withLock { body(&$0) } }

    /// Adds a disk, and returns its number.
    @discardableResult
    func addDisk(_ names: String..., disk: FakeDisk = FakeDisk()) -> Int {
        state.withLock { state in
            state.disks.append(disk)
            for name in names { state.exports[name] = state.disks.count - 1 }
            return state.disks.count - 1
        }
    }

    func disk(_ name: String) -> FakeDisk { state.withLock { $0.disks[$0.exports[name]!] } }

    // MARK: - Devices

    var devices: [NBDDevice] { now.devices }
    func isConnected(_ device: NBDDevice) -> Bool { now.attached[device] != nil }
    func size(of device: NBDDevice) -> UInt64 { 32 << 20 }
    func isAttached(_ device: NBDDevice, to uri: NBDURI) -> Bool {
        now.attached[device] == "\(uri)"
    }

    func isReplying(_ device: NBDDevice) -> Bool { disk(at: device.path)?.isReadable == true }

    func attach(
        _ uri: NBDURI, to device: NBDDevice, timeout: UInt64, stop: SupervisorMailbox
    ) throws(Failure) {
        now.beforeAttach(self, device)
        try state.withLock { (state) throws(Failure) in
            guard state.exports["\(uri)"] != nil else { throw .unavailable("no server at \(uri)") }
            guard state.attached[device] == nil else {
                state.conflicts += 1
                throw .unavailable("\(device) is in use")
            }
            state.attached[device] = "\(uri)"
            if !state.devices.contains(device) { state.devices.append(device) }
            state.devices.sort()
        }
    }

    func detach(_ device: NBDDevice) throws(Failure) { change { $0.attached[device] = nil } }

    func serve(_ size: UInt64, label: String, timeout: UInt64) throws(Failure) -> NBDDevice {
        addDisk(label)
        return state.withLock { state in
            let device = PoolMembers.firstFree(state.devices) { state.attached[$0] != nil }
            state.attached[device] = label
            if !state.devices.contains(device) { state.devices.append(device) }
            return device
        }
    }

    func device(ofMember label: String) -> NBDDevice? {
        now.attached.first { $0.value == label }?.key
    }

    func takeDown(member label: String) throws(Failure) {
        if let device = device(ofMember: label) { try detach(device) }
    }

    func array(holding device: NBDDevice) -> MDArray? {
        now.array?[device] == nil ? nil : MDArray(name: "md127", blocks: directory.path)
    }

    func requireUnused(_ device: String, except point: String?) throws(Failure) {
        if point != nil, let use = now.use { throw .unavailable(use) }
    }

    func read(_ device: String) throws(Failure) {
        change { $0.reads.append(device) }
        guard disk(at: device)?.isReadable != false else {
            throw .inputOutput("cannot read \(device): I/O error")
        }
    }

    private func disk(at path: String) -> FakeDisk? {
        state.withLock { state in state.number(path).map { state.disks[$0] } }
    }

    func mark(_ pool: String) {}
    func endStrays(of pool: String) throws(Failure) {}

    func servers(of service: String) throws(ServiceLookup.Failure) -> [ServiceRecord] {
        now.beforeLookup()
        guard let records = now.services[service] else { throw .noName }
        return records
    }

    // MARK: - Programs

    func run(
        _ program: String, _ arguments: [String], package: String
    ) throws(Failure) -> ChildProcess.Result {
        let words = arguments.filter { $0 != "--quiet" }
        let (code, output) = state.withLock { state in
            state.runs.append(([program] + words).joined(separator: " "))
            return switch program {
            case "mdadm": state.mdadm(words)
            case "blkid": state.blkid(words.last!)
            case "wipefs": state.wipe(words.last!)
            default: (Int32(1), "no such program")
            }
        }
        showArray()
        return ChildProcess.Result(ending: .exited(code), output: output)
    }

    /// Writes the array as sysfs shows it.
    private func showArray() {
        let state = now
        let root = "\(directory.path)/md127/md"
        _ = try? ChildProcess.run("rm", ["-rf", root])
        guard let array = state.array else { return }
        func put(_ path: String, _ text: String) {
            try? TextFile.replace("\(root)/\(path)", with: text + "\n")
        }
        _ = try? Directory.makeAll(root)
        put("level", "raid\(state.arrayLevel)")
        put("raid_disks", "\(array.count)")
        put("sync_action", "idle")
        for (device, place) in array {
            _ = try? Directory.makeAll("\(root)/dev-\(device.name)")
            put("dev-\(device.name)/slot", "\(place)")
            put("dev-\(device.name)/state", state.faulty.contains(device) ? "faulty" : "in_sync")
        }
    }
}

extension FakeMachine.State {
    /// The disk behind a device.
    func number(_ path: String) -> Int? {
        NBDDevice(path: path).flatMap { attached[$0] }.flatMap { exports[$0] }
    }

    var faulty: Set<NBDDevice> { isNewFaulty ? Set(array.map { [$0.keys.max()!] } ?? []) : [] }

    mutating func blkid(_ path: String) -> (Int32, String) {
        guard let number = number(path), disks[number].isReadable, let type = disks[number].type
        else { return (2, "") }
        return (0, "TYPE=\(type)\n")
    }

    mutating func wipe(_ path: String) -> (Int32, String) {
        if let number = number(path) { disks[number] = FakeDisk() }
        return (0, "")
    }

    mutating func mdadm(_ words: [String]) -> (Int32, String) {
        let members = words.dropFirst().compactMap(NBDDevice.init(path:))
        switch words[0] {
        case "--examine": return examine(words.last!, isExport: words.contains("--export"))
        case "--detail": return (0, "MD_UUID=\(arrayNumber)\nMD_LEVEL=raid1\nMD_DEVICES=2\n")
        case "--create":
            arrayNumber = next
            next += 1
            array = [:]
            arrayLevel =
                words.compactMap { $0.hasPrefix("--level=") ? Int($0.dropFirst(8)) : nil }[0]
            for word in words where word == "missing" || NBDDevice(path: word) != nil {
                if let device = NBDDevice(path: word) { join(device, array!.count) }
            }
            return (0, "")
        case "--assemble":
            let newest = members.compactMap { number($0.path) }.compactMap { disks[$0].superblock }
                .filter { $0.place != nil }.max { $0.events < $1.events }!
            arrayNumber = newest.array
            array = [:]
            for device in members where !leftOut.contains(device) {
                let superblock = disks[number(device.path)!].superblock!
                // mdadm and the kernel take a member that is one change behind.
                if superblock.events + 1 >= newest.events { array![device] = superblock.place }
            }
            return (0, "")
        case "--stop":
            array = nil
            return (0, "")
        case "--manage": return manage(words, members)
        default: return (0, "")
        }
    }

    private mutating func manage(_ words: [String], _ members: [NBDDevice]) -> (Int32, String) {
        switch words[2] {
        case "--add", "--re-add": join(members[0], array!.count)
        case "--remove": array![members[0]] = nil
        default: break
        }
        return (0, "")
    }

    private mutating func join(_ device: NBDDevice, _ place: Int) {
        array![device] = place
        guard let number = number(device.path) else { return }
        disks[number] = FakeDisk(
            superblock: FakeDisk.Superblock(
                array: arrayNumber, level: arrayLevel, memberCount: 2, member: next, events: 1,
                place: place, states: "AA"))
        next += 1
    }

    private func examine(_ path: String, isExport: Bool) -> (Int32, String) {
        guard let number = number(path), disks[number].isReadable,
            let superblock = disks[number].superblock
        else { return (1, "mdadm: No md superblock detected on \(path).\n") }
        guard !isExport else {
            return (
                0,
                """
                MD_LEVEL=raid\(superblock.level)
                MD_DEVICES=\(superblock.memberCount)
                MD_UUID=\(superblock.array)
                MD_DEV_UUID=\(superblock.member)
                MD_UPDATE_TIME=\(superblock.updateTime)
                MD_EVENTS=\(superblock.events)

                """
            )
        }
        return (
            0,
            """
            \(path):
                     Events : \(superblock.events)


               Device Role : \(superblock.place.map { "Active device \($0)" } ?? "spare")
               Array State : \(superblock.states) ('A' == active, '.' == missing, 'R' == replacing)

            """
        )
    }
}
