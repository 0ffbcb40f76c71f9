// `ramdisk-nbd list`: which disks are up.

internal import ArgumentParser

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show disks that are up, and what else is attached to /dev/nbdN.",
        discussion: """
            A disk is "up", "starting", "orphaned" when its server is gone, or "attached" by somebody \
            else.

            EXAMPLES
              A table, and the same for programs:
                ramdisk-nbd list
                ramdisk-nbd list --json
            """)

    @Flag(name: .long, help: "Print an array of JSON objects; sizes are in bytes.")
    var json = false

    func run() throws {
        let rows = DiskRow.all
        standardOutput(json ? DiskRow.json(rows) : DiskRow.table(rows))
    }
}
