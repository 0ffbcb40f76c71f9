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
            SnapshotCommand.self, CheckpointCommand.self, SaveCommand.self, StatsCommand.self,
            Top.self, Trace.self, TLSCommand.self,
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
        let close = names.filter { distance($0, argument) <= min(2, $0.count - 1) }
            .min { distance($0, argument) < distance($1, argument) }
        let advice = close.map { "did you mean \"\($0)\"?" } ?? "see ramdisk-nbd --help"
        return "there is no command \"\(argument)\": \(advice)"
    }

    /// Returns the Levenshtein distance of two texts.
    private static func distance(_ one: String, _ other: String) -> Int {
        var row = Array(0...other.count)
        for (line, letter) in one.enumerated() {
            var diagonal = row[0]
            row[0] = line + 1
            for (column, match) in other.enumerated() {
                let substitute = diagonal + (letter == match ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(substitute, row[column] + 1, diagonal + 1)
            }
        }
        return row[other.count]
    }
}
