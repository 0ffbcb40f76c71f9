internal import KernelDisks
internal import LinuxHost
internal import ProgramSupport

/// The superblock of an array on a member. `mdadm --examine`
struct MDSuperblock: Equatable {
    /// The UUID of the array to which the member belongs.
    let array: String
    /// `raid1` and so on.
    let level: String
    /// The number of members of the complete array.
    let memberCount: Int
    /// The role of the member in the array; nil in the output of `--detail`.
    let member: String?
    /// The time of the last change of the array's state, in seconds since 1970; nil in the output of `--detail`.
    let updateTime: UInt64?

    /// Parses the output of `mdadm --examine --export`; nil when it describes no member.
    init?(_ text: String) {
        var values: [Substring: Substring] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { values[parts[0]] = parts[1] }
        }
        guard let array = values["MD_UUID"], let level = values["MD_LEVEL"],
            let count = values["MD_DEVICES"].flatMap({ Int($0) })
        else { return nil }
        self.array = String(array)
        self.level = String(level)
        memberCount = count
        member = values["MD_DEV_UUID"].map(String.init)
        // The lower 40 bits are seconds, the others microseconds. mdadm's super1.c
        updateTime = values["MD_UPDATE_TIME"].flatMap { UInt64($0) }.map { $0 & 0xff_ffff_ffff }
    }
}

/// The contents of a device, as far as blkid(8) and mdadm(8) recognise them.
enum DeviceContents: Equatable {
    /// Nothing that these programs recognise.
    case blank
    /// A member of an array.
    case member(MDSuperblock)
    /// A file system, a partition table or something else: its name.
    case other(String)

    /// Examines a device. blkid(8), `--probe`
    init(of device: String, on machine: any PoolMachine) throws(Failure) {
        if let superblock = MDSuperblock(
            try Mdadm(machine).run(["--examine", "--export", device]).output)
        {
            self = .member(superblock)
            return
        }
        let result = try machine.run(
            "blkid", ["-p", "-o", "export", device], package: "util-linux")
        switch result.ending {
        case .exited(2) where result.output.isEmpty:
            // mdadm and blkid report an unreadable device as blank.
            try machine.read(device)
            self = .blank
        case .exited(0):
            let names = result.output.split(separator: "\n").compactMap { line in
                line.hasPrefix("TYPE=") || line.hasPrefix("PTTYPE=")
                    ? line.split(separator: "=").last : nil
            }
            self = .other(names.first.map(String.init) ?? "data")
        // 8: several signatures, of which none is certain.
        case .exited(8): self = .other("several kinds of data")
        default: throw .inputOutput("cannot read \(device): \(result.reason)")
        }
    }
}

/// The program that manages md's arrays. mdadm(8)
struct Mdadm {
    private let machine: any PoolMachine

    init(_ machine: any PoolMachine) { self.machine = machine }

    func run(_ arguments: [String]) throws(Failure) -> ChildProcess.Result {
        try machine.run("mdadm", arguments, package: "mdadm")
    }

    /// Runs mdadm for a purpose, such as "create the array".
    ///
    /// - Throws: a ``Failure`` that names the purpose, with the last line that mdadm has printed as the reason.
    func run(_ arguments: [String], to purpose: String) throws(Failure) {
        let result = try run(["--quiet"] + arguments)
        guard result.ending != .exited(0) else { return }
        let reason = result.output.split(separator: "\n").last.map { line in
            line.hasPrefix("mdadm: ") ? line.dropFirst(7) : line
        }
        throw .unavailable("cannot \(purpose): \(reason ?? "mdadm: \(result.ending)")")
    }

    /// Which array it is, as the superblocks of its members have it; nil when mdadm cannot say.
    func identity(of array: MDArray) throws(Failure) -> String? {
        MDSuperblock(try run(["--detail", "--export", array.path]).output)?.array
    }

    /// Returns what a member of an array knows of the other ones.
    func history(of member: String) throws(Failure) -> MemberHistory {
        let result = try run(["--examine", member])
        guard var history = MemberHistory(result.output) else {
            throw .inputOutput("mdadm cannot examine \(member): \(result.reason)")
        }
        // Without --export, the time is that of a zone, in words.
        history.updateTime =
            MDSuperblock(try run(["--examine", "--export", member]).output)?.updateTime
        return history
    }
}
