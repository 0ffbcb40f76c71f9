// What is made on a disk, and where it is to be seen.

internal import ProgramSupport
internal import KernelDisks
internal import ArgumentParser
internal import Glibc

extension FileSystemKind: ExpressibleByArgument {}

struct FileSystemOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            File system to make if the disk is blank: ext4, xfs, btrfs, vfat or none. One that is on \
            the disk already stays. (default: ext4 with --mount, else none)
            """, valueName: "kind"))
    var filesystem: FileSystemKind?

    // Its value begins with a dash of its own.
    @Option(
        name: .long, parsing: .unconditional,
        help: ArgumentHelp(
            "More options for mkfs, such as '-m 0 -L fast'.", valueName: "options"))
    var mkfsOptions: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Where to mount it; made if it is missing.", valueName: "directory"),
        completion: .directory)
    var mount: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Options for mount, such as 'noatime,discard'.", valueName: "options"))
    var mountOptions: String?

    func validate() throws {
        if mount?.isEmpty == true { throw ValidationError("--mount needs a directory.") }
        guard mount != nil || mountOptions == nil else {
            throw ValidationError("--mount-options needs --mount: there is nothing to mount.")
        }
        guard kind != .none || mkfsOptions == nil else {
            throw ValidationError("--mkfs-options needs --filesystem or --mount: nothing is made.")
        }
    }

    private var kind: FileSystemKind { filesystem ?? (mount == nil ? .none : .ext4) }

    /// The same as a plan.
    func plan(isReadOnly: Bool) -> FileSystemConfiguration {
        FileSystemConfiguration(
            kind: kind,
            makeOptions: (mkfsOptions ?? "").split(separator: " ").map(String.init),
            mountPoint: mount.map(absolutePath), mountOptions: mountOptions,
            isReadOnly: isReadOnly)
    }
}
