internal import ServerHost
internal import ArgumentParser
internal import NBDProtocol

/// The disks of a server, and their names.
struct ExportOptions: ParsableArguments {
    @OptionGroup
    var disk: DiskOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Serve a disk under this name, with this size or that of --size. Repeatable; each name is \
            a disk of its own, and clients that give no name get the first. With several, the \
            backing of each is called NAME-EXPORT. (default: one disk without a name)
            """, valueName: "name[=size]"), transform: ExportRequest.init(parsing:))
    var export: [ExportRequest] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Description of the disks for clients, as nbdinfo --list shows it.",
            valueName: "text"))
    var description = DiskConfiguration.standardDescription

    @Flag(
        name: .long,
        help:
            "Give each connection its own clone of --template, which is deleted when the client disconnects."
    )
    var clonePerConnection = false

    func validate() throws {
        try exclude(
            "--clone-per-connection", clonePerConnection, "--read-only", disk.readOnly,
            "Clients that only read can share one disk.")
        try require(
            !clonePerConnection || disk.isClone,
            "--clone-per-connection needs --template: what to clone.")
        try require(
            !disk.isClone || export.allSatisfy({ $0.size == nil }),
            "--export with a size and --template: a clone has its template's size.")
        for size in export.compactMap(\.size) { try DiskOptions.check(size) }
        try require(
            disk.load == nil || export.count <= 1,
            "--load fills one disk, but there are \(export.count) --export options: give one.")
        try require(
            disk.image == nil || export.count <= 1,
            "--image holds one disk, but there are \(export.count) --export options: give one.")
        try require(
            description.utf8.count <= Limits.stringLength && !description.utf8.contains(0),
            "--description has \(description.utf8.count) bytes; the maximum is "
                + "\(Limits.stringLength).")
        let names = export.map(\.name)
        try disk.backing.validate(exports: names)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw ValidationError("--export \(twice) is given twice: give each disk its own name.")
        }
    }

    /// The configurations of the disks.
    var plans: [DiskConfiguration] {
        let requests = export.isEmpty ? [ExportRequest(name: "", size: nil)] : export
        let template = disk.source.shared
        return requests.map { request in
            var plan = disk.plan(
                name: request.name, size: request.size,
                backing: export.count > 1 ? request.name : nil, template: template)
            plan.clonesPerConnection = clonePerConnection
            plan.description = description
            return plan
        }
    }
}
