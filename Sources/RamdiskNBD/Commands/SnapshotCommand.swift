internal import ArgumentParser
internal import Observability
internal import ObservabilityClient
internal import ProgramSupport

/// `ramdisk-nbd snapshot`.
struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot",
        abstract: "Take, list and delete snapshots of a served disk, or roll back to one.",
        discussion: """
            A snapshot is the disk as it was at one instant. Clients continue to use the disk, and \
            can read the snapshot as the read-only export DISK@NAME. It exists until it is deleted \
            or the server stops, and takes memory for the pages that change after it; \
            `--snapshot-memory` of `serve` and `up` limits that. When the limit is reached, all \
            snapshots of the disk are lost; the disk itself is unaffected.

            EXAMPLES
              Copy the disk as it is now, while it is in use:
                ramdisk-nbd snapshot create monday
                nbdcopy nbd://localhost/@monday monday.img
                ramdisk-nbd snapshot delete monday

              Undo a test run on the disk db:
                ramdisk-nbd snapshot create db@clean
                ramdisk-nbd snapshot rollback db@clean
            """,
        subcommands: [
            SnapshotCreate.self, SnapshotList.self, SnapshotDelete.self, SnapshotRollback.self,
        ])
}

/// `ramdisk-nbd snapshot create`.
struct SnapshotCreate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Take a snapshot, and print the name of its export.",
        usage: "ramdisk-nbd snapshot create [<disk>@]<name> [<options>]")

    @OptionGroup
    var argument: ContentArgument

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        let status = try server.client().perform(
            "POST", "/snapshots", argument.parameters, as: SnapshotStatus.self)
        standardOutput(status.export + "\n")
    }
}

/// `ramdisk-nbd snapshot list`.
struct SnapshotList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the snapshots of a server, oldest first.",
        discussion: """
            CLIENTS is the number of connections that read it. MEMORY is what all snapshots of the disk \
            take for preserved pages.
            """)

    @OptionGroup
    var list: ContentListOptions

    func run() throws { try list.print("/snapshots", SnapshotStatus.table) }
}

/// `ramdisk-nbd snapshot delete`.
struct SnapshotDelete: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete a snapshot, and release its memory.",
        usage: "ramdisk-nbd snapshot delete [<disk>@]<name> [<options>]")

    @OptionGroup
    var argument: ContentArgument

    @Flag(
        name: .long,
        help: "Delete it although clients read it; they keep it until they disconnect.")
    var force = false

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        try server.perform("DELETE", "/snapshots", argument.parameters("force", force))
    }
}

/// `ramdisk-nbd snapshot rollback`.
struct SnapshotRollback: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollback", abstract: "Make the disk what it was at a snapshot.",
        usage: "ramdisk-nbd snapshot rollback [<disk>@]<name> [<options>]",
        discussion: """
            Everything that was written since is lost. The snapshot remains, and so do newer ones. \
            Unmount the disk first: the kernel does not notice that it changes.
            """)

    @OptionGroup
    var argument: ContentArgument

    @Flag(name: .long, help: "Do it although clients are connected to the disk.")
    var force = false

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        try server.perform("POST", "/snapshots/rollback", argument.parameters("force", force))
    }
}
