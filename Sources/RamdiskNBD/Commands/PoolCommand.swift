internal import ArgumentParser
internal import Glibc
internal import KernelDisks
internal import LinuxIO
internal import NBDProtocol
internal import Pools
internal import ProgramSupport

/// `ramdisk-nbd pool`.
struct PoolCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pool",
        abstract: "Make one disk of several machines' disks, as a RAID array.",
        discussion: """
            The members are memory of this machine and exports of NBD servers, such as `ramdisk-nbd \
            serve` on other hosts. The kernel's md driver mirrors or stripes them; mdadm must be \
            installed. The array drops a member that does not reply within --timeout: programs see \
            a pause of about that long, and no error as long as another member has the data.

            EXAMPLES
              A file system in this machine's memory, with a copy on another host:
                ramdisk-nbd pool up --level 1 --mount /mnt/r local=2G nbd://host-a
                ramdisk-nbd pool status
                ramdisk-nbd pool down /mnt/r

              The host is back, with an empty disk:
                ramdisk-nbd pool replace r nbd://host-a nbd://host-a
            """,
        subcommands: [
            PoolUpCommand.self, PoolDownCommand.self, PoolStatusCommand.self,
            PoolReplaceCommand.self,
        ])
}

extension PoolLevel: ExpressibleByArgument {}

extension MemberSource {
    /// Parses a member. Throws the sentence that says what is wrong with it.
    init(argument: String) throws {
        if argument == Self.missingWord {
            self = .missing
        } else if argument.hasPrefix(Self.localPrefix) {
            let size = try ByteCount(parsing: String(argument.dropFirst(Self.localPrefix.count)))
            self = .local(size.bytes)
        } else if argument.hasPrefix(ServiceURI.scheme) {
            guard let service = ServiceURI(argument) else {
                throw ValidationError(
                    "\(argument) is not a service: it is like \(ServiceURI.scheme)_nbd._tcp.example/export."
                )
            }
            self = .service(service)
        } else {
            self = .remote(try NBDURI(argument: argument))
        }
    }

    /// Parses a member, or the name of a file with one on each line after an "@". A line may end with a comment.
    static func list(argument: String) throws -> [MemberSource] {
        guard argument.hasPrefix("@") else { return [try MemberSource(argument: argument)] }
        let path = String(argument.dropFirst())
        let text: String
        do {
            text = try TextFile.contents(of: path)
        } catch {
            throw ValidationError("cannot read the members from \(path): \(error).")
        }
        return try text.split(separator: "\n").compactMap { (line) -> MemberSource? in
            let words = line.prefix { $0 != "#" }.split(separator: " ")
            guard words.count < 2 else {
                throw ValidationError("\(path) has two members on a line: \(line).")
            }
            return try words.first.map { try MemberSource(argument: String($0)) }
        }
    }
}

/// `ramdisk-nbd pool up`.
struct PoolUpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Attach the members of a pool, start their array, and mount it.",
        usage: "ramdisk-nbd pool up --level <level> [<options>] <member> ...",
        discussion: """
            Attaches each member, and examines its contents. If members are parts of an array, \
            that array is started, and blank members are filled by the kernel. If all are blank, a \
            new array is made. Members that hold anything else are refused. Then a file system is \
            made if the array is blank, and mounted. The command prints the array's device, the \
            mount point, and what the pool survives, and ends; the kernel does the rest. If a step \
            fails, the steps before it are undone.

            A member must never hold older data than it had in the pool: do not add one that was \
            restored from a snapshot or an --image, except with `pool replace`.

            EXAMPLES
              A mirror of this machine's memory and two hosts:
                ramdisk-nbd pool up --level 1 --mount /mnt/r local=2G nbd://a nbd://b

              Over four hosts, of which any one may fail:
                ramdisk-nbd pool up --level 10 nbd://a nbd://b nbd://c nbd://d

              Over the hosts that a DNS name lists, in their order:
                ramdisk-nbd pool up --level 10 nbd+srv://_nbd._tcp.example

              A mirror whose other half comes later:
                ramdisk-nbd pool up --level 1 --mount /mnt/r local=2G missing
                ramdisk-nbd pool replace r missing nbd://host-a
            """)

    @Argument(
        help: ArgumentHelp(
            """
            A member: local=SIZE for memory of this machine, the URI of an export, or the word missing; \
            nbd+srv://NAME/EXPORT for each server that the SRV records of a DNS name list; or @FILE for a \
            file with a member on each line. At level 10, the first two members have the same blocks, \
            and so on.
            """, valueName: "member"), transform: MemberSource.list(argument:))
    var members: [[MemberSource]] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            How the members hold the data. 1: each has all of it. 10: each block is on two of them. 0: \
            each block is on one, and the loss of a member is the loss of all.
            """, valueName: "level"))
    var level: PoolLevel

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Name of the pool: a letter, then letters, digits, - and _, at most 24. (default: the last \
            part of the mount point, else pool)
            """, valueName: "name"))
    var name: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Time that a request to a member may take before the array drops the member, in whole \
            seconds. Programs wait that long when a host fails. (default: \
            \(PoolConfiguration.usualTimeout)s)
            """, valueName: "time"),
        transform: Duration.init(parsing:))
    var timeout: Duration?

    @OptionGroup(title: "File system")
    var fileSystem: FileSystemOptions

    @Flag(
        name: .long,
        help: "Make a new array over members that hold something else. What they hold is lost.")
    var force = false

    @OptionGroup(title: "Logs")
    var log: LogOptions

    private var sources: [MemberSource] { members.flatMap(\.self) }

    func validate() throws {
        try checkTimeouts(timeout, nil)
        guard timeout != .zero else {
            throw ValidationError(
                "--timeout is 0, but a pool needs one: without it, programs wait for a dead host.")
        }
        if let reason = PoolConfiguration.problem(of: sources, level) {
            throw ValidationError(reason.prefix(1).uppercased() + reason.dropFirst() + ".")
        }
        if let name, !PoolConfiguration.isName(name) {
            throw ValidationError(
                "--name \(name) is not a name of 1 to 24 letters, digits, - and _ that begins with a letter."
            )
        }
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        let stop = try SupervisorMailbox.fromSignals()
        let status = try PoolUp(plan, logger: log.quietLogger, stop: stop)()
        standardOutput(
            [status.array, status.mount].compactMap(\.self).joined(separator: " ") + "\n"
                + status.survives + "\n")
    }

    private var plan: PoolConfiguration {
        PoolConfiguration(
            name: name ?? usualName, level: level, sources: sources,
            timeout: timeout?.driverSeconds ?? PoolConfiguration.usualTimeout,
            fileSystem: fileSystem.plan(isReadOnly: false), isForced: force)
    }

    private var usualName: String {
        let last = fileSystem.mount?.split(separator: "/").last.map(String.init)
        return last.flatMap { PoolConfiguration.isName($0) ? $0 : nil } ?? "pool"
    }
}

/// `ramdisk-nbd pool down`.
struct PoolDownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Unmount a pool, stop its array, and detach its members.",
        usage: "ramdisk-nbd pool down <pool> [<options>]",
        discussion: """
            Local members end, and their memory is freed. Remote members keep what they hold: `pool up` \
            with the same members starts the array again. A pool in use stays up. If `pool up` was \
            killed, `pool down` undoes its completed steps.
            """)

    @OptionGroup
    var pool: PoolArgument

    @OptionGroup(title: "Logs")
    var log: LogOptions

    func run() throws {
        try PoolDown.run(pool.target, logger: log.quietLogger)
    }
}

/// `ramdisk-nbd pool status`.
struct PoolStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show pools, their members, and what they survive now.",
        discussion: """
            A member is "in sync"; "rebuilding" while the kernel copies data to it; "spare"; \
            "faulty" when the array has dropped it; "silent" when it does not reply, but is the \
            last one with its data; or "apart", which is not part of the array. `pool replace` \
            replaces a member.

            EXAMPLES
              All pools, and one for programs:
                ramdisk-nbd pool status
                ramdisk-nbd pool status r --json
            """)

    @Argument(
        help: ArgumentHelp(
            "Name, mount point or array of a pool. (default: all pools)", valueName: "pool"),
        completion: .pool)
    var pool: String?

    @Flag(name: .long, help: "Print an array of JSON objects, with sizes in bytes.")
    var json = false

    func run() throws {
        let records =
            try pool.map { [try PoolDirectory.record(of: $0)] } ?? PoolDirectory()?.records
        let pools = (records ?? []).map { PoolStatus($0) }
        if json { return standardOutput(try jsonLine(pools)) }
        standardOutput(
            pools.isEmpty ? "No pool is up.\n" : pools.map(Self.text).joined(separator: "\n"))
    }

    /// Returns a heading, a table of the members, and what the pool survives.
    static func text(_ pool: PoolStatus) -> String {
        let place = pool.mount.map { ", \(pool.filesystem ?? "") at \($0)" } ?? ""
        let array = pool.array.map { "\($0), \(Units.roundedDownBytes(pool.size))\(place)" }
        let table = TextTable(
            [.left("DEVICE"), .left("STATE"), .left("MEMBER")],
            rows: pool.members.map { [$0.device ?? "-", $0.state.rawValue, $0.member] })
        let progress = pool.progress.map { progress in
            let percent = Int(Double(progress.done) / Double(max(1, progress.total)) * 100)
            return "\(progress.action): \(percent) % of \(Units.bytes(Double(progress.total)))\n"
        }
        return """
            \(pool.name): level \(pool.level.rawValue), \(array ?? "no array")
            \(table.text)\(progress ?? "")\(pool.survives)

            """
    }
}

/// `ramdisk-nbd pool replace`.
struct PoolReplaceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replace",
        abstract: "Replace a member of a pool, or add a dropped one again.",
        usage: "ramdisk-nbd pool replace <pool> <old> <new> [<options>]",
        discussion: """
            Attaches the new member, waits until the kernel has copied all data to it, and \
            detaches the old member. An old member that works stays in the array until then. If \
            old and new are the same, the member is added again; its contents are overwritten, \
            since they may be stale.

            With --re-add, only what was written since is copied. That is right only for a member that \
            holds exactly what it held when it was dropped: its server was paused or cut off, but \
            has not been restarted from an image or a snapshot.

            EXAMPLES
              Another host, and one that was restarted:
                ramdisk-nbd pool replace r nbd://host-a nbd://host-c
                ramdisk-nbd pool replace r nbd://host-b nbd://host-b

              A host that was cut off for a while:
                ramdisk-nbd pool replace r nbd://host-b nbd://host-b --re-add
            """)

    @OptionGroup
    var pool: PoolArgument

    @Argument(
        help: ArgumentHelp(
            "The member to replace: its URI, its device, or the word missing.", valueName: "old"))
    var old: String

    @Argument(
        help: ArgumentHelp("The new member: local=SIZE, or a URI.", valueName: "new"),
        transform: MemberSource.init(argument:))
    var new: MemberSource

    @Flag(name: .long, help: "Trust what the member holds, and copy only what has changed.")
    var reAdd = false

    @Flag(name: .long, help: "Overwrite a new member that holds something else.")
    var force = false

    @OptionGroup(title: "Logs")
    var log: LogOptions

    func validate() throws {
        switch new {
        case .local, .remote: break
        case .missing:
            throw ValidationError("The new member is missing: give local=SIZE or a URI.")
        case .service:
            throw ValidationError("\(new) may be several members: give the URI of one.")
        }
        guard !reAdd || !force else {
            throw ValidationError("--re-add and --force: give only one of them.")
        }
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        let stop = try SupervisorMailbox.fromSignals()
        let request = PoolReplace.Request(
            pool: pool.target, old: old, new: new, hasMemory: reAdd, isForced: force)
        let status = try PoolReplace(request, logger: log.quietLogger, stop: stop)()
        standardOutput(status.survives + "\n")
    }
}

/// The pool that a command is for.
struct PoolArgument: ParsableArguments {
    @Argument(
        help: ArgumentHelp("Name, mount point or array of the pool.", valueName: "pool"),
        completion: .pool)
    var target: String
}
