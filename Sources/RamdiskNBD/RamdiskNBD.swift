// The program: `ramdisk-nbd`.

internal import ArgumentParser

@main
struct RamdiskNBD: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ramdisk-nbd",
        abstract: "A RAM disk in user space: serves memory as a block device over NBD.",
        discussion: """
            EXAMPLES
              A GiB of memory as a mounted file system, as root:
                ramdisk-nbd up --size 1G --mount /mnt/ramdisk

              A disk of 40 MiB on this machine's port 10809, and the kernel's view of it:
                ramdisk-nbd serve
                nbd-client localhost /dev/nbd0
                mkfs.ext4 /dev/nbd0 && mount /dev/nbd0 /mnt

              `ramdisk-nbd up --help` and `ramdisk-nbd serve --help` have more.
            """,
        version: "ramdisk-nbd \(Version.current)",
        subcommands: [
            Serve.self, Run.self, Up.self, Down.self, List.self, Attach.self, Detach.self,
            StatsCommand.self, Top.self, Trace.self, TLSCommand.self,
        ])
}

/// What `--version` says.
enum Version {
    static let current = "0.1.0"
}
