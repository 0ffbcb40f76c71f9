internal import ServerHost
internal import ProgramSupport
internal import ArgumentParser

/// The command line of the program.
@main
struct RamdiskNBD: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ramdisk-nbd",
        abstract: "A RAM disk in user space: serves memory as a block device over NBD.",
        discussion: """
            EXAMPLES
              1 GiB of memory as a mounted file system (as root):
                ramdisk-nbd up --size 1G --mount /mnt/ramdisk

              A 40 MiB disk on port 10809 of this machine, attached to the kernel:
                ramdisk-nbd serve
                nbd-client localhost /dev/nbd0
                mkfs.ext4 /dev/nbd0 && mount /dev/nbd0 /mnt

              `ramdisk-nbd up --help` and `ramdisk-nbd serve --help` show more.
            """,
        version: "ramdisk-nbd \(Version.current)",
        subcommands: [
            Serve.self, Run.self, Up.self, Down.self, List.self, Attach.self, Detach.self,
            PoolCommand.self,
            SnapshotCommand.self, CloneCommand.self, CheckpointCommand.self, SaveCommand.self,
            StatsCommand.self, Top.self, Trace.self, ConfigCommand.self, TLSCommand.self,
            Doctor.self,
        ])

    /// Runs the command. An error of any command ends the program here: a ``Failure`` with its sentence and
    /// exit code, another error as the parser reports it.
    static func main() {
        do {
            if let hint = misspelling(CommandLine.arguments.dropFirst().first) {
                throw Failure.usage(hint)
            }
            defer { Protection.end() }
            try runCommand()
            try StandardOutput.check()
        } catch let failure as Failure {
            failure.report()
            exit(withError: ExitCode(failure.kind.rawValue))
        } catch {
            exit(withError: error)
        }
    }

    /// Parses and runs the command. Help goes through ``standardOutput(_:)``, which notices a failed write.
    private static func runCommand() throws {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch  where !(error is Failure) && !(error is ExitCode) && exitCode(for: error).isSuccess
        {
            standardOutput(fullMessage(for: error) + "\n")
        }
    }

    /// Returns a hint if the first argument is not the name of a command; nil if it is.
    static func misspelling(_ argument: String?) -> String? {
        var names = ["help"]
        for command in configuration.subcommands { names.append(command._commandName) }
        guard let argument, !argument.hasPrefix("-"), !names.contains(argument) else { return nil }
        let close = closestName(to: argument, among: names)
        let advice = close.map { "did you mean \"\($0)\"?" } ?? "see ramdisk-nbd --help"
        return "there is no command \"\(argument)\": \(advice)"
    }
}
