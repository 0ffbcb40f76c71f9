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
            its server has a control socket, and a line below the table says so if that server does not \
            respond. USED is the space in use in a mounted file system, and the memory in use for a \
            served disk.

            Disks that have an image (--image) have two more columns. SAVED is how long ago the last \
            save was and how long it took; CHANGED is what has changed since. If the last save has \
            failed, a line below says why. A disk that is served while it is restored is "restoring \
            43 %" in place of its state.

            --verbose adds, for each device, its number of queues and what the kernel's block layer \
            does with its requests: the I/O scheduler, the largest request, the read-ahead, and the \
            values of nomerges and rq_affinity in /sys/block/nbdN/queue.

            EXAMPLES
              A table for people, and JSON for programs:
                ramdisk-nbd list
                ramdisk-nbd list --json
            """)

    @Flag(name: .long, help: "Print an array of JSON objects, with sizes in bytes.")
    var json = false

    @Flag(name: .shortAndLong, help: "Show the settings of each device in the kernel, too.")
    var verbose = false

    func run() throws {
        let disks = ListedDisk.all()
        standardOutput(json ? try jsonLine(disks) : ListedDisk.table(disks, isVerbose: verbose))
    }
}
