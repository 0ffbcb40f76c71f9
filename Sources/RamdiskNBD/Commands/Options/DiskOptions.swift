internal import ServerHost
internal import ArgumentParser
internal import ProgramSupport
internal import NBDServer

/// The properties of a disk, for every command that makes one.
struct DiskOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Size of a disk in bytes, or with a unit: K, M, G, T, or KiB, MiB, GiB, TiB (powers of \
            1024), or KB, MB, GB, TB (powers of 1000). Fractions such as 1.5G are allowed. (default: \
            40M; with --load or --image the size of the file, rounded up to 4K; for an existing backing its \
            size)
            """, valueName: "size"), completion: .size, transform: ByteCount.init(parsing:))
    var size: ByteCount?

    @Flag(name: .long, help: "Reject writes from clients.")
    var readOnly = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Fill a new disk from this file before serving it, for example with a file system image. \
            An existing backing keeps its content.
            """, valueName: "path"),
        completion: .file())
    var load: AbsolutePath?

    @OptionGroup
    var source: TemplateOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Restore the disk from this file at the start, if it exists, and save the disk to it at the \
            end. The file is an ordinary raw image; PATH.state beside it holds checksums. An \
            interrupted save is never restored: the last complete one is. A large image is \
            restored while the disk is already served.
            """, valueName: "path"),
        completion: .file())
    var image: AbsolutePath?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Also save the disk to its image at this interval. Each save holds one instant and \
            writes only what has changed.
            """,
            valueName: "time"), transform: Duration.init(parsing:))
    var saveEvery: Duration?

    @Flag(
        name: .long,
        help: """
            Restore all of the image before the disk is served. A damaged image is then refused at the \
            start, and not when a client reads the damaged part.
            """)
    var restoreFirst = false

    @Flag(
        name: .long,
        help: "Allocate memory only when it is written, and release it when clients trim.")
    var sparse = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Maximum memory for the old contents of pages that change after a snapshot; a size as \
            for --size. When it is used up, all snapshots of the disk are lost. (default: half of \
            what is available when a snapshot is taken)
            """, valueName: "size"), completion: .size, transform: ByteCount.init(parsing:))
    var snapshotMemory: ByteCount?

    @Flag(
        name: .long,
        help: """
            Leave the contents of the disk out of core dumps. (Those of clones that --clone-per-connection \
            and `clone` make are not.)
            """)
    var noDump = false

    @OptionGroup
    var backing: BackingOptions

    func validate() throws {
        if let size { try Self.check(size) }
        try exclude(
            "--sparse", sparse, "--huge-pages", backing.hugePages,
            "--huge-pages reserves all of the memory at the start.")
        try exclude(
            "--load", load != nil, "--image", image != nil,
            "--load fills the disk at the start and never writes to the file.")
        if isClone { try validateTemplate() }
        try require(
            image != nil || !restoreFirst, "--restore-first needs --image: the file to restore.")
        if let saveEvery {
            try require(image != nil, "--save-every needs --image: the file to save to.")
            try require(
                saveEvery >= .seconds(1), "--save-every is \(saveEvery), but must be at least 1s.")
        }
        try backing.validate(exports: [])
    }

    private func validateTemplate() throws {
        for (other, isGiven) in [
            ("--load", load != nil), ("--image", image != nil), ("--size", size != nil),
            ("--backing", backing.backing != nil), ("--huge-pages", backing.hugePages),
        ] {
            try exclude(
                "--template", isClone, other, isGiven,
                "A clone has the contents and the size of its template, and memory that is freed when the server stops."
            )
        }
    }

    /// Whether the disk is a clone of a template.
    var isClone: Bool { source.template != nil }

    /// Throws when no disk can have this size.
    static func check(_ size: ByteCount) throws {
        try require(
            size.bytes >= RamDisk.smallestSize && size.bytes <= RamDisk.largestSize,
            "A disk cannot have \(size.bytes.bytesText): the smallest has "
                + "\(RamDisk.smallestSize.bytesText), the largest \(RamDisk.largestSize.bytesText)."
        )
    }

    /// The path options with absolute paths, for a worker, which runs in another directory and serves no clones. The
    /// parser takes the last of two equal options.
    var pathArguments: [String] {
        (load.map { ["--load", $0.path] } ?? [])
            + (image.map { ["--image", $0.path] } ?? [])
            + (backing.backingDirectory.map { ["--backing-directory", $0.path] } ?? [])
    }

    /// The configuration of the one disk.
    var plans: [DiskConfiguration] {
        [plan(name: "", size: nil, backing: nil, template: source.shared)]
    }

    /// The configuration of a named disk, with a size of its own or the common one; `backing` is its part of
    /// the backing's name.
    func plan(
        name: String, size own: ByteCount?, backing part: String?, template: Template?
    ) -> DiskConfiguration {
        var plan = DiskConfiguration(
            name: name, size: (own ?? size)?.bytes, isSparse: sparse, isReadOnly: readOnly,
            load: load?.path, usesReservedPages: backing.hugePages,
            backing: backing.plan(for: part), snapshotMemory: snapshotMemory?.bytes,
            image: image.map {
                ImageConfiguration(
                    path: $0.path, interval: saveEvery, isRestoredFirst: restoreFirst)
            },
            template: template)
        plan.isLeftOutOfDumps = noDump
        return plan
    }
}
