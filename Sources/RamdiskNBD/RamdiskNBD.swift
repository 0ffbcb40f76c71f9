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

    /// Runs the command that is asked for. What a command throws ends the program here, for all of them:
    /// a ``Failure`` with its sentence and its exit code, anything else as the parser has it.
    static func main() {
        do {
            var command = try parseAsRoot()
            defer { Protection.end() }
            try command.run()
        } catch let failure as Failure {
            failure.tell()
            exit(withError: ExitCode(failure.exitCode))
        } catch {
            exit(withError: error)
        }
    }
}

/// What `--version` says.
enum Version {
    static let current = "0.1.0"
}
