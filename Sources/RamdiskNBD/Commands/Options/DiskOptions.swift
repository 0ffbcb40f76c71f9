internal import ServerHost
internal import ArgumentParser
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
    var load: PathArgument?

    @OptionGroup
    var source: TemplateOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Restore the disk from this file at the start, if it exists, and save the disk to it at the \
            end. It is an ordinary raw image; PATH.state beside it holds checksums. A save that was cut \
            off is never what is restored. A large image is restored while the disk is served already.
            """, valueName: "path"),
        completion: .file())
    var image: PathArgument?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Save the disk to its image at this interval too: what has changed since, at one instant.",
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
            Most memory that the snapshots of a disk take for pages that change after them; a size as \
            for --size. When it is used up, they are lost. (default: half of what is available when a \
            snapshot is taken)
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
        guard !sparse || !backing.hugePages else {
            throw ValidationError(
                "--sparse and --huge-pages: give only one of them. --huge-pages reserves all of the "
                    + "memory at the start.")
        }
        guard load == nil || image == nil else {
            throw ValidationError(
                "--load and --image: give only one of them. --load fills the disk at the start and never "
                    + "writes to the file.")
        }
        if isClone { try validateTemplate() }
        guard image != nil || !restoreFirst else {
            throw ValidationError("--restore-first needs --image: the file to restore.")
        }
        if let saveEvery {
            guard image != nil else {
                throw ValidationError("--save-every needs --image: the file to save to.")
            }
            guard saveEvery >= .seconds(1) else {
                throw ValidationError("--save-every is \(saveEvery), but must be at least 1s.")
            }
        }
        try backing.validate(exports: [])
    }

    private func validateTemplate() throws {
        let others: [(isGiven: Bool, name: String)] = [
            (load != nil, "--load"), (image != nil, "--image"), (size != nil, "--size"),
            (backing.backing != nil, "--backing"), (backing.hugePages, "--huge-pages"),
        ]
        guard let other = others.first(where: \.isGiven) else { return }
        throw ValidationError(
            "--template and \(other.name): give only one of them. A clone has the contents and the size of its "
                + "template, and memory that goes with the server.")
    }

    /// Whether the disk is a clone of a template.
    var isClone: Bool { source.template != nil }

    /// Throws when no disk can have this size.
    static func check(_ size: ByteCount) throws {
        guard size.bytes >= RamDisk.smallestSize, size.bytes <= RamDisk.largestSize else {
            throw ValidationError(
                "A disk cannot have \(size.bytes.bytesText): the smallest has "
                    + "\(RamDisk.smallestSize.bytesText), the largest \(RamDisk.largestSize.bytesText)."
            )
        }
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
