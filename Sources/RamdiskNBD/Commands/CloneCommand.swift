internal import ArgumentParser
internal import DiskContents
internal import ObservabilityClient
internal import ProgramSupport

/// `ramdisk-nbd clone`.
struct CloneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clone",
        abstract: "Make, list and delete copy-on-write clones of a served disk.",
        discussion: """
            A clone is an independent disk, served under the name NEW. It begins with the contents \
            of a disk or of a snapshot, and takes memory only for what is written to it. The first \
            clone of a disk or snapshot copies it, since the disk continues to change; further \
            clones of the same snapshot share that copy. Clones of a server that was started with \
            --template share its template, and nothing is copied. A clone exists until it is \
            deleted or the server stops.

            EXAMPLES
              A prepared database, and a copy for each of two test runs:
                ramdisk-nbd snapshot create db@ready
                ramdisk-nbd clone db@ready run1
                ramdisk-nbd clone db@ready run2
                nbd-client -N run1 localhost /dev/nbd1

              Clones of an image file:
                ramdisk-nbd serve --template golden.img
                ramdisk-nbd clone '' job1

              A scratch copy for each connection, without a command:
                ramdisk-nbd serve --template golden.img --clone-per-connection
            """,
        subcommands: [CloneCreate.self, CloneList.self, CloneDelete.self],
        defaultSubcommand: CloneCreate.self)
}

/// `ramdisk-nbd clone create`.
struct CloneCreate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Make a clone, and print the name of its export.",
        usage: "ramdisk-nbd clone [create] <disk>[@<snapshot>] <new> [<options>]")

    @Argument(
        help: ArgumentHelp(
            """
            The disk to clone, by the name of its export, and a snapshot of it; without one, the disk as \
            it is now. The empty name is the first disk.
            """, valueName: "disk[@snapshot]"),
        completion: .cloneSource)
    var source: String

    @Argument(help: ArgumentHelp("The name of the clone's export.", valueName: "new"))
    var name: String

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        var parameters: [String: String?] = ["name": name]
        let parts = ContentArgument.split(source)
        let disk = parts?.disk ?? source
        // An empty name is the first disk, whatever its name is.
        if !disk.isEmpty { parameters["disk"] = disk }
        if let parts { parameters["snapshot"] = parts.name }
        let status = try server.client().perform(
            "POST", "/clones", parameters, as: CloneStatus.self)
        standardOutput(status.export + "\n")
    }
}

/// `ramdisk-nbd clone list`.
struct CloneList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the clones of a server, oldest first.",
        discussion: """
            WRITTEN is the memory that the clone takes, TEMPLATE what its template takes, once for all \
            clones of it. CLIENTS is the number of connections.
            """)

    @OptionGroup
    var list: ContentListOptions

    func run() throws { try list.print("/clones", CloneStatus.table) }
}

/// `ramdisk-nbd clone delete`.
struct CloneDelete: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete a clone, and release its memory.")

    @Argument(
        help: ArgumentHelp("The name of the clone's export.", valueName: "name"),
        completion: .clone)
    var name: String

    @Flag(
        name: .long, help: "Delete it although clients use it; they keep it until they disconnect.")
    var force = false

    @OptionGroup(title: "Server")
    var server: MonitoredServerOptions

    func run() throws {
        try server.perform("DELETE", "/clones", ["name": name, "force": "\(force)"])
    }
}
