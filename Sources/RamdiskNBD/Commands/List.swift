// `ramdisk-nbd list`: which disks are up.

internal import ProgramSupport
internal import ArgumentParser

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show disks that are up or served, and what is attached to /dev/nbdN.",
        discussion: """
            The states of a disk of `up` are "starting", "up", "detaching" when only something that has the \
            device open keeps it, and "orphaned" when its server is gone. A device of \
            `attach --stay` is "watched", any other is "attached". A disk of `serve` is "served", if its \
            server has a control socket. For those, USED is what memory they take up; for mounted disks it is \
            what the file system has in use.

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
