internal import KernelDisks
internal import ProgramSupport
internal import ArgumentParser

/// `ramdisk-nbd list`.
struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List disks that are up or served, and attached /dev/nbdN devices.",
        discussion: """
            A disk of `up` is "starting", "up", "detaching" while a process that has the device open \
            still holds it, or "orphaned" when its supervisor is dead. A device of `attach --stay` is \
            "watched", any other device is "attached". A disk of `serve` is "served"; it is listed if \
            its server has a control socket. USED is the space in use in a mounted file system, and the \
            memory in use for a served disk.

            EXAMPLES
              A table for people, and JSON for programs:
                ramdisk-nbd list
                ramdisk-nbd list --json
            """)

    @Flag(name: .long, help: "Print an array of JSON objects, with sizes in bytes.")
    var json = false

    func run() throws {
        let disks = ListedDisk.all
        standardOutput(json ? try jsonLine(disks) : Self.table(disks))
    }

    /// Returns a table with a header row.
    static func table(_ disks: [ListedDisk]) -> String {
        guard !disks.isEmpty else { return "No disk is up, and no device is attached.\n" }
        let titles = [
            "DEVICE", "SIZE", "USED", "FILESYSTEM", "MOUNTED AT", "BACKING OR SERVER", "STATE",
        ]
        let rows = disks.map { disk in
            [
                disk.device ?? "-", Units.roundedDownBytes(disk.size),
                disk.used.map(Units.roundedDownBytes) ?? "-", disk.fileSystem ?? "-",
                disk.mountPoint ?? "-", disk.backing ?? disk.server ?? "-", disk.state.rawValue,
            ]
        }
        return TextTable(titles.map { .left($0) }, rows: rows).text
    }
}
