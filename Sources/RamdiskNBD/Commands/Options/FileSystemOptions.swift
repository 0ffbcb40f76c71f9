internal import ProgramSupport
internal import KernelDisks
internal import ArgumentParser
internal import Glibc

extension FileSystemKind: ExpressibleByArgument {}

/// The file system on a disk, and its mount point.
struct FileSystemOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            File system to make on a blank disk: ext4, xfs, btrfs, vfat or none. A file system that \
            is already there stays. (default: ext4 with --mount, else none)
            """, valueName: "kind"))
    var filesystem: FileSystemKind?

    // `.unconditional`, as the value begins with a dash.
    @Option(
        name: .long, parsing: .unconditional,
        help: ArgumentHelp(
            "More options for mkfs, such as '-m 0 -L fast'.", valueName: "options"))
    var mkfsOptions: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Mount point; created if it does not exist.", valueName: "directory"),
        completion: .directory)
    var mount: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Options for mount, such as 'noatime,discard'.", valueName: "options"))
    var mountOptions: String?

    func validate() throws {
        if mount?.isEmpty == true { throw ValidationError("--mount needs a directory.") }
        try require(
            mount != nil || mountOptions == nil, "--mount-options has no effect without --mount.")
        try require(
            kind != .none || mkfsOptions == nil,
            "--mkfs-options has no effect without --filesystem or --mount.")
    }

    private var kind: FileSystemKind { filesystem ?? (mount == nil ? .none : .ext4) }

    /// The configuration.
    func plan(isReadOnly: Bool) -> FileSystemConfiguration {
        FileSystemConfiguration(
            kind: kind,
            makeOptions: (mkfsOptions ?? "").split(separator: " ").map(String.init),
            mountPoint: mount.map(absolutePath), mountOptions: mountOptions,
            isReadOnly: isReadOnly)
    }
}
