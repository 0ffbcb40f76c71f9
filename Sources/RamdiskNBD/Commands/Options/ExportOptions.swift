// Which disks a server has: one or more, under names.

internal import ServerHost
internal import ArgumentParser
internal import NBDProtocol

struct ExportOptions: ParsableArguments {
    @OptionGroup
    var disk: DiskOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            A disk of its own under a name, of the size given or else that of --size. Can be given \
            more than once; the first is what clients get who ask for no name. With more than one, the \
            backing of each is called NAME-EXPORT. (default: one without a name)
            """, valueName: "name[=size]"), transform: ExportRequest.init(parsing:))
    var export: [ExportRequest] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            "What clients are told that the disks are, as nbdinfo --list shows it.",
            valueName: "text"))
    var description = DiskConfiguration.standardDescription

    func validate() throws {
        for size in export.compactMap(\.size) { try DiskOptions.check(size) }
        guard disk.load == nil || export.count <= 1 else {
            throw ValidationError("--load fills one disk, but --export asks for \(export.count).")
        }
        guard description.utf8.count <= Limits.stringLength, !description.utf8.contains(0) else {
            throw ValidationError(
                "--description has \(description.utf8.count) bytes, but may have up to "
                    + "\(Limits.stringLength).")
        }
        let names = export.map(\.name)
        try disk.backing.validate(exports: names)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw ValidationError("--export \(twice) is given twice; each name has to be its own.")
        }
    }

    /// The disks that are asked for.
    var plans: [DiskConfiguration] {
        let requests = export.isEmpty ? [ExportRequest(name: "", size: nil)] : export
        return requests.map { request in
            var plan = disk.plan(
                name: request.name, size: request.size,
                backing: export.count > 1 ? request.name : nil)
            plan.description = description
            return plan
        }
    }
}
