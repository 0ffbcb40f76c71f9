internal import ServerHost
internal import ProgramSupport
internal import KernelDisks
internal import ArgumentParser
internal import LinuxHost
internal import LinuxIO

/// `ramdisk-nbd down`.
struct Down: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Unmount and detach disks that `up` has attached, and free their memory.",
        usage: "ramdisk-nbd down (<disk> | --all) [<options>]",
        discussion: """
            The kernel first writes what it has not written yet. A disk in use stays up, and so does one \
            that cannot be saved to its image, unless --force is given. If the server of a disk is dead \
            but its memory still exists (--backing), `down` serves the disk again to take it down \
            gracefully.

            EXAMPLES
              By mount point or device:
                ramdisk-nbd down /mnt/ramdisk
                ramdisk-nbd down /dev/nbd0

              All disks:
                ramdisk-nbd down --all
            """)

    @Argument(
        help: ArgumentHelp("Mount point, device or backing of the disk.", valueName: "disk"),
        completion: .kernelDisk)
    var target: String?

    @Flag(name: .long, help: "Take all disks down.")
    var all = false

    @Flag(
        name: .long,
        help: """
            Also take down a disk that cannot be served again, or that cannot be saved to its image. \
            Data that was not written, or not saved, is lost.
            """)
    var force = false

    @OptionGroup(title: "Logs")
    var log: LogOptions

    func validate() throws {
        try require(
            all != (target != nil),
            target == nil
                ? "Which disk? Give its mount point, device or backing, or --all."
                : "--all and \(target ?? ""): give only one of them.")
    }

    func run() throws {
        let records =
            try target.map(RuntimeDirectory.records(of:)) ?? RuntimeDirectory()?.records ?? []
        guard let directory = RuntimeDirectory() else { return }
        let takeDown = TakeDown(
            directory: directory, logger: log.quietLogger, isForced: force)
        var failures: [Failure] = []
        for record in records {
            do throws(Failure) {
                try takeDown.run(record)
            } catch {
                failures.append(error)
            }
        }
        // An `up` that was killed before it wrote its record has left this directory, and nothing else.
        Directory.removeEmpty(directory.path)
        for failure in failures.dropLast() { failure.report() }
        if let failure = failures.last { throw failure }
    }
}
