// What a disk is to be: the same options for every command that makes one.

internal import ServerHost
internal import ArgumentParser
internal import NBDServer

struct DiskOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Size of a disk: bytes, or with K, M, G or T (powers of 1024; KiB and so on are the same) or KB, \
            MB, GB or TB (powers of 1000). 1.5G is one, too. (default: 40M; with --load what the file has, \
            in whole 4K; what a backing that is found has)
            """, valueName: "size"), transform: ByteCount.init(parsing:))
    var size: ByteCount?

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
        if let size { try Self.check(size) }
        guard !sparse || !backing.hugePages else {
            throw ValidationError(
                "--sparse takes memory as it is written, and --huge-pages all that is reserved: "
                    + "give one of them.")
        }
        try backing.validate(exports: [])
    }

    /// Throws when no disk can have this size.
    static func check(_ size: ByteCount) throws {
        guard size.bytes >= RamDisk.smallestSize, size.bytes <= RamDisk.largestSize else {
            throw ValidationError(
                "A disk of \(size.bytes.bytesText) cannot be made: the smallest has "
                    + "\(RamDisk.smallestSize.bytesText), the largest \(RamDisk.largestSize.bytesText)."
            )
        }
    }

    /// The options with paths once more, for a process that runs in another directory: of an option that is
    /// given twice, the last one counts.
    var pathArguments: [String] {
        (load.map { ["--load", $0.path] } ?? [])
            + (backing.backingDirectory.map { ["--backing-directory", $0.path] } ?? [])
    }

    /// The one disk that is asked for.
    var plans: [DiskConfiguration] { [plan(name: "", size: nil, backing: nil)] }

    /// A disk under a name, of a size of its own if it has one; `backing` is its own part of the backing's
    /// name.
    func plan(name: String, size own: ByteCount?, backing part: String?) -> DiskConfiguration {
        DiskConfiguration(
            name: name, size: (own ?? size)?.bytes, isSparse: sparse, isReadOnly: readOnly,
            load: load?.path, usesReservedPages: backing.hugePages,
            backing: backing.plan(for: part))
    }
}
