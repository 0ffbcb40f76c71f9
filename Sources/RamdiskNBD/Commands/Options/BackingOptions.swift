// Memory with a name, and memory in large pages.

internal import ServerHost
internal import ArgumentParser
internal import NBDServer

struct BackingOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Keep the disk in memory of this name, which outlives the server: if it is killed or \
            crashes, the next one with the name finds every write that was acknowledged. A server that \
            is stopped removes it.
            """, valueName: "name"))
    var backing: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Where backings are: a directory in a tmpfs or a hugetlbfs. (default: \
            /dev/shm/ramdisk-nbd, or with --huge-pages the same in a hugetlbfs that is mounted; with \
            the user's number for others than root)
            """, valueName: "path"),
        completion: .directory)
    var backingDirectory: PathArgument?

    @Flag(name: .long, help: "Keep the backing when the server is stopped.")
    var keep = false

    @Flag(
        name: .long,
        help: ArgumentHelp(
            """
            Take the memory from the machine's pool of reserved huge pages (vm.nr_hugepages), and \
            fail when that has too few. Without it, large pages are used where the kernel has some.
            """))
    var hugePages = false

    /// Says what does not go together with each other, or with these exports.
    func validate(exports: [String]) throws {
        guard let backing else {
            guard !keep, backingDirectory == nil else {
                throw ValidationError(
                    "\(keep ? "--keep" : "--backing-directory") needs --backing: what has no name "
                        + "cannot be found again.")
            }
            return
        }
        let names = exports.count > 1 ? exports.map { "\(backing)-\($0)" } : [backing]
        if let wrong = names.first(where: { !BackingLocation.isName($0) }) {
            throw ValidationError("\(BackingError.badName(wrong)).")
        }
    }

    /// The backing of a disk, which has a name of its own when there is more than one disk.
    func plan(for disk: String?) -> BackingConfiguration? {
        backing.map { name in
            BackingConfiguration(
                name: disk.map { "\(name)-\($0)" } ?? name, directory: backingDirectory?.path,
                isKept: keep)
        }
    }
}
