internal import KernelDisks
internal import LinuxHost
internal import LinuxIO
internal import NBDKernel
internal import ProgramSupport

/// Assembles the attached members of a pool into the array of their superblocks, or creates a new array.
struct PoolArray {
    /// A member that is attached.
    struct Candidate {
        let source: MemberSource
        let device: NBDDevice
        var contents = DeviceContents.blank

        var isRemote: Bool { if case .remote = source { true } else { false } }
    }

    let plan: PoolConfiguration
    /// The members, with those that are missing, but without services.
    private let sources: [MemberSource]
    private let candidates: [Candidate]
    private let machine: any PoolMachine
    private var mdadm: Mdadm { Mdadm(machine) }

    /// The chunk size in bytes: how much of a stripe is on one member before the next member follows. One request of
    /// the kernel's read-ahead (128 KiB) then keeps two members busy.
    private static let chunkKiB = 64
    /// The smallest part of the array, in bytes, that the bitmap marks as written. The kernel synchronizes members in
    /// units of 64 KiB, so smaller parts would save nothing.
    private static let smallestPart: UInt64 = 64 << 10
    /// The largest number of parts: mdadm reserves one page for the bitmap of a member below 8 GiB, and md writes all
    /// of the page at once.
    private static let mostParts: UInt64 = 30_000

    /// Examines the contents of the members.
    init(
        _ plan: PoolConfiguration, _ sources: [MemberSource],
        _ members: [(MemberSource, NBDDevice)], on machine: any PoolMachine
    ) throws(Failure) {
        self.plan = plan
        self.sources = sources
        self.machine = machine
        var candidates: [Candidate] = []
        for (source, device) in members {
            try Self.releaseFromPartialArray(device, on: machine)
            var candidate = Candidate(source: source, device: device)
            candidate.contents = try DeviceContents(of: device.path, on: machine)
            candidates.append(candidate)
        }
        try Self.requireDistinct(candidates)
        self.candidates = candidates
    }

    /// Throws when two members are one export under two names: they have the same superblock.
    private static func requireDistinct(_ candidates: [Candidate]) throws(Failure) {
        var members = DistinctMembers()
        for candidate in candidates {
            try members.insert("\(candidate.source)", candidate.contents)
        }
    }

    /// udev may have made an array of the first members before the last one was attached.
    private static func releaseFromPartialArray(
        _ device: NBDDevice, on machine: any PoolMachine
    ) throws(Failure) {
        guard let array = machine.array(holding: device) else { return }
        try Mdadm(machine).run(
            ["--stop", array.path], to: "stop \(array.path), which udev has begun")
    }

    /// Returns the array, and whether it is new.
    func callAsFunction() throws(Failure) -> (array: MDArray, isNew: Bool) {
        let superblocks = candidates.compactMap { (candidate) -> MDSuperblock? in
            if case .member(let superblock) = candidate.contents { superblock } else { nil }
        }
        let isRecognised = candidates.allSatisfy {
            if case .other = $0.contents { false } else { true }
        }
        if let first = superblocks.first, isRecognised,
            superblocks.allSatisfy({ $0.array == first.array })
        {
            return (try assemble(first), false)
        }
        if !superblocks.isEmpty || !isRecognised {
            guard plan.isForced else { throw refusal }
            for candidate in candidates { try Self.wipe(candidate.device.path, on: machine) }
        }
        return (try create(), true)
    }

    /// Returns an error that names the first member that is not blank, and its contents.
    private var refusal: Failure {
        for candidate in candidates {
            switch candidate.contents {
            case .blank: continue
            case .other(let kind):
                return .unavailable(
                    "\(candidate.source) holds \(kind): a pool would overwrite it; give another member, or --force"
                )
            case .member(let superblock):
                return .unavailable(
                    "\(candidate.source) is part of the array \(superblock.array), and not all other members are: "
                        + "a pool would overwrite it; give the members of that array, or --force")
            }
        }
        return .unavailable("the members hold data; --force overwrites it")
    }

    // MARK: - New

    private func create() throws(Failure) -> MDArray {
        var arguments = [
            "--create", mdPath, "--run", "--metadata=1.2", "--level=\(plan.level.rawValue)",
            "--raid-devices=\(sources.count)",
        ]
        if plan.level != .mirror { arguments.append("--chunk=\(Self.chunkKiB)") }
        if plan.level.isRedundant {
            arguments += [
                "--bitmap=internal", "--bitmap-chunk=\(bitmapPart >> 10)K", "--failfast",
            ]
        }
        arguments += plan.level == .mirror ? mirrorPlaces : places
        try mdadm.run(arguments, to: "create the array")
        let array = try made()
        // Two names may lead to one export. It now has the superblock that was written last.
        var written = candidates
        for index in written.indices {
            written[index].contents = try DeviceContents(
                of: written[index].device.path, on: machine)
        }
        try Self.requireDistinct(written)
        try Self.wipe(array.path, on: machine)
        return array
    }

    /// The members in the order of the command line: at level 10, neighbours have the same blocks.
    private var places: [String] {
        var rest = candidates[...]
        return sources.map { source in
            guard source != .missing, let next = rest.popFirst() else {
                return MemberSource.missingWord
            }
            return next.device.path
        }
    }

    /// The members of a mirror, remote ones last: if there are local members, the kernel reads from them.
    private var mirrorPlaces: [String] {
        let remote = candidates.filter(\.isRemote).map(\.device.path)
        let local = candidates.filter { !$0.isRemote }.map(\.device.path)
        let absent = sources.filter { $0 == .missing }.map(\.description)
        let isMarked = !local.isEmpty && !remote.isEmpty
        return absent + local + (isMarked ? ["--write-mostly"] : []) + remote
    }

    /// The number of bytes for each bit of the bitmap: a power of two.
    private var bitmapPart: UInt64 {
        let sizes = candidates.map { machine.size(of: $0.device) }
        let data = (sizes.max() ?? 0) * UInt64(plan.level == .mirror ? 1 : sources.count)
        var part = Self.smallestPart
        while data / part > Self.mostParts { part *= 2 }
        return part
    }

    /// Removes the signatures of a device's former contents. wipefs(8)
    static func wipe(_ device: String, on machine: any PoolMachine) throws(Failure) {
        let result = try machine.run(
            "wipefs", ["--all", "--quiet", device], package: "util-linux")
        guard result.ending == .exited(0) else {
            throw .inputOutput("cannot overwrite what \(device) held: \(result.reason)")
        }
    }

    // MARK: - Found

    /// Starts the array of the members' superblocks, and adds the members that lack its latest data.
    private func assemble(_ superblock: MDSuperblock) throws(Failure) -> MDArray {
        guard superblock.level == plan.level.mdName,
            superblock.memberCount == sources.count
        else {
            throw .unavailable(
                "the members are an array of level \(superblock.level.dropFirst(4)) with \(superblock.memberCount) "
                    + "members, not of level \(plan.level.rawValue) with \(sources.count): give its "
                    + "level and all of its members, and `missing` for one that is gone")
        }
        let known = candidates.filter { $0.contents != .blank }
        let histories = try histories(of: known)
        let newest = NewestMembers(of: histories.map(\.history))
        try requireOneHistory(histories, newest)
        // mdadm is not shown the members that the array has dropped: it may take one for a member in sync.
        let usable = histories.filter { !newest.lack($0.history) }
        // Read-only, so that nothing is written before it is known which members the kernel has taken.
        try mdadm.run(
            ["--assemble", mdPath, "--run", "--readonly", "--uuid=\(superblock.array)"]
                + usable.map(\.candidate.device.path), to: "start the array")
        let array = try made()
        try require(newest, of: histories, in: array)
        try mdadm.run(["--readwrite", array.path], to: "start writing to the array")
        for candidate in candidates where array.device(candidate.device) == nil {
            guard plan.level.isRedundant else {
                throw .unavailable(
                    "\(candidate.source) does not hold its part of the array, and level 0 has it nowhere else"
                )
            }
            try Self.add(
                candidate, to: array, on: machine,
                isWriteMostly: plan.level == .mirror && candidates.contains { !$0.isRemote })
        }
        return array
    }

    private typealias Histories = [(candidate: Candidate, history: MemberHistory)]

    private func histories(of members: [Candidate]) throws(Failure) -> Histories {
        var histories: Histories = []
        for member in members {
            histories.append((member, try mdadm.history(of: member.device.path)))
        }
        return histories
    }

    /// Throws when a member was used without the newest ones: it has data that they lack, and mdadm would take one of
    /// the two without a word.
    private func requireOneHistory(
        _ histories: Histories, _ newest: NewestMembers
    ) throws(Failure) {
        guard let member = histories.first(where: { newest.mayMissData(of: $0.history) }),
            let other = histories.first(where: {
                $0.candidate.device != member.candidate.device
                    && (newest.histories.isEmpty || newest.histories.contains($0.history))
            })
        else { return }
        throw .unavailable(
            "\(other.candidate.source) and \(member.candidate.source) were each used without the other, so each "
                + "holds data that the other one lacks: write `missing` in the place of the one to "
                + "give up, and let it in with `pool replace` without --re-add, which overwrites it"
        )
    }

    /// Throws, and stops the array, when it was started without a member that has the newest data.
    private func require(
        _ newest: NewestMembers, of histories: Histories, in array: MDArray
    ) throws(Failure) {
        let absent = histories.first {
            newest.histories.contains($0.history) && array.device($0.candidate.device) == nil
        }
        guard let absent else { return }
        try mdadm.run(["--stop", array.path], to: "stop the array again")
        throw .unavailable(
            "mdadm starts the array without \(absent.candidate.source), which has its newest data: "
                + "`mdadm --examine \(absent.candidate.device)` shows what it holds")
    }

    /// Adds a member that the kernel fills from the others.
    ///
    /// - Parameters:
    ///   - isWriteMostly: whether to mark a remote member write-mostly.
    ///   - hasMemory: whether the member still holds its contents from when it was last part of the array. The kernel
    ///     then copies only what was written since.
    static func add(
        _ candidate: Candidate, to array: MDArray, on machine: any PoolMachine,
        isWriteMostly: Bool, hasMemory: Bool = false
    ) throws(Failure) {
        // If the member had a superblock of this array, mdadm would re-add it, and trust its contents.
        if !hasMemory { try wipe(candidate.device.path, on: machine) }
        let how = hasMemory ? ["--re-add"] : ["--add", "--failfast"]
        try Mdadm(machine).run(
            ["--manage", array.path] + how + [candidate.device.path],
            to: "add \(candidate.source) to \(array.path)")
        // Not with --write-mostly: mdadm 4.2 would add the member as a faulty one.
        if isWriteMostly, candidate.isRemote { array.markWriteMostly(candidate.device) }
    }

    // MARK: - Its device

    /// The name under which mdadm makes the array.
    private var mdPath: String { Self.mdPath(plan.name) }

    static func mdPath(_ pool: String) -> String { "/dev/md/\(pool)" }

    /// The array that a member is part of now.
    private func made() throws(Failure) -> MDArray {
        guard let array = candidates.lazy.compactMap({ machine.array(holding: $0.device) }).first
        else {
            throw .system("mdadm has made an array, but sysfs does not show it")
        }
        return array
    }
}
