internal import LinuxHost
internal import LinuxIO
internal import NBDKernel

/// A pool as `pool status` shows it.
package struct PoolStatus: Sendable, Encodable {
    /// A member and its state in the array.
    package struct Member: Sendable, Encodable {
        package let member: String
        /// The path of the device; nil when it is not attached.
        package let device: String?
        package let state: State
    }

    package enum State: String, Sendable, Encodable {
        /// It has all data of its slot.
        case inSync = "in sync"
        /// The kernel is copying data to it.
        case rebuilding
        /// It waits to replace another.
        case spare
        /// The kernel has dropped it.
        case faulty
        /// It does not reply, and the kernel has not dropped it: no other member has its data.
        case silent
        /// It is not part of the array.
        case apart
    }

    /// A synchronization of the members that the kernel is doing.
    package struct Progress: Sendable, Encodable {
        /// `resync`, `recover`, `check` and so on.
        package let action: String
        /// The bytes of each member that are done.
        package let done: UInt64
        package let total: UInt64
    }

    package let name: String
    package let level: PoolLevel
    /// The path of the array; nil when there is none.
    package let array: String?
    /// Size in bytes.
    package let size: UInt64
    package let mount: String?
    package let filesystem: String?
    package let members: [Member]
    package let progress: Progress?
    /// The number of members of the complete array.
    package let memberCount: Int
    /// The number of members, whichever they are, that can fail now without loss.
    package let canLose: Int
    /// Members whose loss would lose data.
    package let mustKeep: [String]
    /// A sentence, without a full stop, that says what the pool survives.
    package let survives: String

    /// Reads the state of a pool. Reading a page of each member shows whether it replies, which takes up to the pool's
    /// timeout for one that does not.
    package init(_ record: PoolRecord) { self.init(record, on: ThisMachine()) }

    init(_ record: PoolRecord, on machine: any PoolMachine) {
        let attached = record.members.map { ($0, machine.device(of: $0, in: record)) }
        let array = attached.lazy.compactMap { $0.1 }.compactMap(machine.array(holding:)).first
        let devices = array?.devices ?? []
        let action = array?.action ?? "idle"
        func inArray(_ device: NBDDevice?) -> MDArray.Device? {
            devices.first { $0.name == device?.name }
        }
        members = attached.map { member, device in
            Member(
                member: member.text, device: device?.path,
                state: Self.state(inArray(device), device, isActive: action != "idle", on: machine))
        }
        var silent: Set<Int> = []
        var names: [Int: String] = [:]
        for (member, (source, device)) in zip(members, attached) {
            guard let slot = inArray(device)?.slot else { continue }
            names[slot] = source.text
            if member.state == .silent { silent.insert(slot) }
        }
        let redundancy = Redundancy(array, without: silent)
        func label(_ slot: Int) -> String { names[slot] ?? "the member in slot \(slot)" }
        name = record.name
        level = record.level
        self.array = array?.path
        size = array?.size ?? 0
        let found = array.flatMap { array in
            Mount.all(of: array.path).first { $0.point == record.mountPoint }
        }
        mount = found?.point
        filesystem = found?.type
        progress =
            action == "idle"
            ? nil
            : array?.progress.map {
                Progress(action: action, done: $0.done, total: $0.total)
            }
        memberCount = redundancy.slotCount
        canLose = redundancy.tolerated
        mustKeep = redundancy.critical.sorted().map(label)
        survives = array == nil ? "is not up" : redundancy.sentence(label)
    }

    private static func state(
        _ found: MDArray.Device?, _ device: NBDDevice?, isActive: Bool, on machine: any PoolMachine
    ) -> State {
        guard let found, let device else { return .apart }
        if found.isFaulty { return .faulty }
        guard found.isInSync else { return found.slot != nil && isActive ? .rebuilding : .spare }
        // The kernel keeps the last member of a mirror even when it fails.
        return machine.isReplying(device) ? .inSync : .silent
    }
}

extension Redundancy {
    /// The redundancy of an array whose members in some slots do not reply.
    fileprivate init(_ array: MDArray?, without silent: Set<Int>) {
        let working = (array?.devices ?? []).filter(\.isInSync).compactMap(\.slot)
        self.init(
            level: array?.level ?? "", slotCount: array?.slotCount ?? 0, layout: array?.layout,
            working: Set(working).subtracting(silent))
    }
}
