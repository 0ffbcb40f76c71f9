internal import ServerHost
internal import ArgumentParser
internal import ProgramSupport
internal import NBDServer

/// Named memory, and memory in huge pages.
struct BackingOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Keep the disk's memory under this name. It outlives a server that crashes or is killed: \
            the next server with the name finds every acknowledged write. A server that is stopped \
            removes the memory.
            """, valueName: "name"))
    var backing: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Directory of backings, in a tmpfs or a hugetlbfs. (default: /dev/shm/ramdisk-nbd; with \
            --huge-pages, ramdisk-nbd in a mounted hugetlbfs; for users other than root, followed \
            by the uid)
            """, valueName: "path"),
        completion: .directory)
    var backingDirectory: AbsolutePath?

    @Flag(name: .long, help: "Keep the backing when the server is stopped.")
    var keep = false

    @Flag(
        name: .long,
        help: ArgumentHelp(
            """
            Take the memory from the machine's pool of reserved huge pages (vm.nr_hugepages), and \
            fail if the pool is too small. Without this option, the kernel uses huge pages where it \
            has some.
            """))
    var hugePages = false

    /// Rejects options that contradict each other or these exports.
    func validate(exports: [String]) throws {
        guard let backing else {
            try require(
                !keep && backingDirectory == nil,
                "\(keep ? "--keep" : "--backing-directory") needs --backing: a server cannot "
                    + "find memory without a name again.")
            return
        }
        let names = exports.count > 1 ? exports.map { "\(backing)-\($0)" } : [backing]
        if let wrong = names.first(where: { !BackingLocation.isName($0) }) {
            throw ValidationError("\(BackingError.badName(wrong)).")
        }
    }

    /// The backing of a disk; `disk` is its own part of the name when there are several disks.
    func plan(for disk: String?) -> BackingConfiguration? {
        backing.map { name in
            BackingConfiguration(
                name: disk.map { "\(name)-\($0)" } ?? name, directory: backingDirectory?.path,
                isKept: keep)
        }
    }
}
