internal import ArgumentParser
internal import DiskContents
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
        let status = try server.client().perform(
            "POST", "/checkpoints", argument.parameters("full", full), as: CheckpointStatus.self)
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

    @OptionGroup
    var list: ContentListOptions

    func run() throws { try list.print("/checkpoints", CheckpointStatus.table) }
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
        try server.perform("POST", "/checkpoints/commit", argument.parameters)
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
        try server.perform("POST", "/checkpoints/abort", argument.parameters)
    }
}
