internal import ArgumentParser
internal import DiskContents
internal import FoundationEssentials
internal import ObservabilityClient
internal import ProgramSupport

/// `ramdisk-nbd checkpoint`.
struct CheckpointCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint",
        abstract:
            "Take a snapshot of a served disk with a bitmap of what has changed, for backups.",
        discussion: """
            A checkpoint is a snapshot with a dirty bitmap, which marks what has changed since the \
            last committed checkpoint. Backup programs read it as the read-only export DISK@NAME, \
            and the bitmap as the metadata context `qemu:dirty-bitmap:NAME`. When the backup is \
            complete, commit the checkpoint: the bitmap of the next one marks changes since then. \
            If the backup has failed, abort the checkpoint: the bitmap of the next one also marks \
            the changes of the aborted one. Without a committed checkpoint, and so at first, \
            everything is dirty.

            A disk has one open checkpoint at most. Each command may be repeated without harm. An open \
            checkpoint takes memory for the pages that change, as a snapshot does; a committed one takes \
            8 bytes for each page of 4 KiB.

            Checkpoints end with the server, unless the disk has a backing (`--backing`): then the \
            committed one and what has changed since survive, also if the server is killed. An open \
            one counts as aborted then.

            EXAMPLES
              What has changed since the last backup:
                ramdisk-nbd checkpoint create monday
                nbdinfo --map=qemu:dirty-bitmap:monday nbd://localhost/@monday

              The backup is complete:
                ramdisk-nbd checkpoint commit monday
            """,
        subcommands: [
            CheckpointCreate.self, CheckpointList.self, CheckpointCommit.self, CheckpointAbort.self,
        ])
}

/// `ramdisk-nbd checkpoint create`.
struct CheckpointCreate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a checkpoint, and print the name of its export.",
        usage: "ramdisk-nbd checkpoint create [<disk>@]<name> [<options>]",
        discussion: """
            In one step, the server freezes the disk for clients to read and begins to record changes \
            for the next checkpoint. If the checkpoint is open already, the command changes nothing and \
            prints the same.
            """)

    @OptionGroup
    var argument: ContentArgument

    @Flag(
        name: .long,
        help: "Mark everything dirty although there is a committed checkpoint.")
    var full = false

    @Flag(name: .long, help: "Print a JSON object.")
    var json = false

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        var parameters = argument.parameters
        parameters["full"] = "\(full)"
        let status = try server.client().perform(
            "POST", "/checkpoints", parameters, as: CheckpointStatus.self)
        standardOutput(json ? try jsonLine(status) : (status.export ?? "") + "\n")
    }
}

/// `ramdisk-nbd checkpoint list`.
struct CheckpointList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the checkpoints of a server.",
        discussion: """
            For each disk, the last committed checkpoint and the open one. SINCE is the checkpoint that \
            an open one is compared with. DIRTY is what its bitmap has or, for a committed one, what has \
            changed since.
            """)

    @Flag(name: .long, help: "Print an array of JSON objects.")
    var json = false

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        let all = try server.client().perform("GET", "/checkpoints", as: [CheckpointStatus].self)
        standardOutput(json ? try jsonLine(all) : table(all))
    }

    private func table(_ all: [CheckpointStatus]) -> String {
        guard !all.isEmpty else { return "There are no checkpoints.\n" }
        let now = Date().timeIntervalSince1970
        return TextTable(
            [
                .left("CHECKPOINT"), .left("STATE"), .right("AGE"), .left("SINCE"), .right("DIRTY"),
                .right("CLIENTS"),
            ],
            rows: all.map {
                [
                    "\($0.disk)@\($0.name)", $0.state.rawValue,
                    Units.age(seconds: now - $0.createdUnixSeconds),
                    $0.base ?? (($0.state == .committed) ? "" : "(everything)"),
                    $0.dirtyBytes.map { Units.bytes(Double($0)) } ?? "",
                    "\($0.openConnections)",
                ]
            }
        ).text
    }
}

/// `ramdisk-nbd checkpoint commit`.
struct CheckpointCommit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "commit",
        abstract: "End a checkpoint: the next one marks what has changed since it.",
        usage: "ramdisk-nbd checkpoint commit [<disk>@]<name> [<options>]",
        discussion: "Clients that are connected to its export keep it until they disconnect.")

    @OptionGroup
    var argument: ContentArgument

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        _ = try server.client().perform(
            "POST", "/checkpoints/commit", argument.parameters, as: Nothing.self)
    }
}

/// `ramdisk-nbd checkpoint abort`.
struct CheckpointAbort: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "abort",
        abstract: "Drop a checkpoint: the next one marks its changes too.",
        usage: "ramdisk-nbd checkpoint abort [<disk>@]<name> [<options>]",
        discussion: "Clients that are connected to its export keep it until they disconnect.")

    @OptionGroup
    var argument: ContentArgument

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        _ = try server.client().perform(
            "POST", "/checkpoints/abort", argument.parameters, as: Nothing.self)
    }
}
