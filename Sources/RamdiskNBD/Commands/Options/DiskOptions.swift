// Which disks there are: the same options for every command that makes one.

internal import ArgumentParser
internal import NBDServer

struct DiskOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Size of a disk: bytes, or with K, M, G or T (powers of 1024). (default: 40M; with --load what \
            the file has, in whole 4K; what a backing that is found has)
            """, valueName: "size"))
    var size: ByteCount?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            A disk of its own under a name, of the size given or else that of --size. Can be given \
            more than once; the first is what clients get who ask for no name. (default: one without \
            a name)
            """, valueName: "name[=size]"))
    var export: [ExportRequest] = []

    @Flag(name: .long, help: "Let clients read, not write.")
    var readOnly = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Fill a new disk from a file before it is served, such as a file system's image. One that \
            is found in a backing stays as it is.
            """, valueName: "path"),
        completion: .file())
    var load: PathArgument?

    @Flag(
        name: .long,
        help: "Take memory only as it is written, and give it back when clients trim.")
    var sparse = false

    @OptionGroup
    var backing: BackingOptions

    func validate() throws {
        for size in [size].compactMap({ $0 }) + export.compactMap(\.size) {
            guard size.bytes >= RamDisk.smallestSize, size.bytes <= RamDisk.largestSize else {
                throw ValidationError(
                    "A disk of \(size.bytes) bytes cannot be made: the smallest has "
                        + "\(RamDisk.smallestSize), the largest \(RamDisk.largestSize).")
            }
        }
        guard load == nil || export.count <= 1 else {
            throw ValidationError("--load fills one disk, but --export asks for \(export.count).")
        }
        guard !sparse || !backing.hugePages else {
            throw ValidationError(
                "--sparse takes memory as it is written, and --huge-pages all that is reserved: "
                    + "give one of them.")
        }
        try backing.validate(exports: export.map(\.name))
        let names = export.map(\.name)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw ValidationError("--export \(twice) is given twice; each name has to be its own.")
        }
    }

    /// The options with paths once more, for a process that runs in another directory: of an option that is
    /// given twice, the last one counts.
    var pathArguments: [String] {
        (load.map { ["--load", $0.path] } ?? [])
            + (backing.backingDirectory.map { ["--backing-directory", $0.path] } ?? [])
    }

    /// The disks that are asked for.
    var plans: [DiskPlan] {
        let requests = export.isEmpty ? [ExportRequest(name: "", size: nil)] : export
        return requests.map { request in
            DiskPlan(
                name: request.name, size: (request.size ?? size)?.bytes, isSparse: sparse,
                isReadOnly: readOnly, load: load?.path, usesReservedPages: backing.hugePages,
                backing: backing.plan(for: export.count > 1 ? request.name : nil))
        }
    }
}
