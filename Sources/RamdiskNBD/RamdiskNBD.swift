// The program: `ramdisk-nbd`.

internal import ServerHost
internal import ProgramSupport
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
            if let hint = misspelling(CommandLine.arguments.dropFirst().first) {
                throw Failure.usage(hint)
            }
            defer { Protection.end() }
            try runCommand()
            try StandardOutput.check()
        } catch let failure as Failure {
            failure.tell()
            exit(withError: ExitCode(failure.exitCode))
        } catch {
            exit(withError: error)
        }
    }

    /// Runs the command. Help, too, is output that has to get where it should.
    private static func runCommand() throws {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch  where !(error is Failure) && !(error is ExitCode) && exitCode(for: error).isSuccess
        {
            standardOutput(fullMessage(for: error) + "\n")
        }
    }

    /// What to say of a first argument that is nearly the name of a command.
    static func misspelling(_ argument: String?) -> String? {
        var names = ["help"]
        for command in configuration.subcommands { names.append(command._commandName) }
        guard let argument, !argument.hasPrefix("-"), !names.contains(argument) else { return nil }
        let close = names.filter { distance($0, argument) <= min(2, $0.count - 1) }
            .min { distance($0, argument) < distance($1, argument) }
        let advice = close.map { "did you mean \"\($0)\"?" } ?? "see ramdisk-nbd --help"
        return "there is no command \"\(argument)\": \(advice)"
    }

    /// How many letters have to be put in, left out or exchanged to make one text of another (Levenshtein).
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
