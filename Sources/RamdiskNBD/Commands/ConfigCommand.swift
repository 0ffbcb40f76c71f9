internal import ArgumentParser
internal import ConfigurationFiles
internal import Glibc
internal import KernelDisks
internal import LinuxHost
internal import LinuxIO
internal import ProgramSupport

/// `ramdisk-nbd config`.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Run, check and show configuration files of disks.",
        discussion: """
            A file /etc/ramdisk-nbd/NAME.toml says what a command line says: its keys are the long names \
            of the options of `up`, `serve` or `pool up`. ramdisk-nbd.toml(5) describes the format. At \
            each boot, ramdisk-nbd@NAME.service brings a disk up, ramdisk-nbd-serve@NAME.service serves \
            one, and ramdisk-nbd-pool@NAME.service brings a pool up.

            EXAMPLES
              A file system in memory, from now on and after each boot:
                printf '%s\\n' 'size = "2G"' 'mount = "/mnt/scratch"' \\
                  >/etc/ramdisk-nbd/scratch.toml
                ramdisk-nbd config check
                systemctl enable --now ramdisk-nbd@scratch
            """,
        subcommands: [ConfigCheck.self, ConfigShow.self, ConfigRun.self])

    /// The commands that a file can be for. The first one is the default.
    static let commands: [any ParsableCommand.Type] = [Up.self, Serve.self, PoolUpCommand.self]

    /// Reads and checks the file of a name or path.
    static func file(_ name: String) throws -> ConfigurationFile {
        try ConfigurationFile(
            path: ConfigurationDirectory().file(name),
            commands: try commands.map(ConfigurableCommand.init))
    }
}

extension ConfigurableCommand {
    /// The parser's description of a command.
    init(_ command: any ParsableCommand.Type) throws {
        let isPool = command == PoolUpCommand.self
        try self.init(
            isPool ? "pool" : command._commandName, words: isPool ? ["pool", "up"] : nil,
            nameKey: isPool ? "name" : nil, help: command._dumpHelp()
        ) { arguments in
            do {
                _ = try command.parse(arguments)
                return nil
            } catch {
                return command.message(for: error)
            }
        }
    }
}

/// The file of a disk.
struct ConfigurationArgument: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "The file: NAME for /etc/ramdisk-nbd/NAME.toml, or a path with a slash.",
            valueName: "name|path"), completion: .configuration)
    var name: String

    /// Reads and checks it. A problem ends the program.
    func file() throws -> ConfigurationFile {
        do {
            return try ConfigCommand.file(name)
        } catch let problems as ConfigurationProblems {
            throw Failure.configuration(problems.description)
        }
    }
}

/// `ramdisk-nbd config check`.
struct ConfigCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check files of disks.",
        discussion: """
            Checks each file as its command would, and prints a line for each problem: FILE:LINE: \
            KEY: what is wrong. Exits with status 78 if there is one. What only the start can \
            show, such as an address that is in use, is not checked.

            EXAMPLES
              All files in /etc/ramdisk-nbd, and one elsewhere:
                ramdisk-nbd config check
                ramdisk-nbd config check ./scratch.toml
            """)

    @Argument(
        help: ArgumentHelp(
            """
            The files: NAME for /etc/ramdisk-nbd/NAME.toml, or a path with a slash. (default: all files \
            in /etc/ramdisk-nbd)
            """, valueName: "name|path"), completion: .configuration)
    var names: [String] = []

    @Flag(name: .long, help: "Print an array of JSON objects, one for each file.")
    var json = false

    /// The output of `--json` for a file.
    private struct Report: Encodable {
        let file: String
        /// The command line without the program's name; none if there is a problem.
        var arguments: [String]?
        var problems: [ConfigurationProblem] = []
    }

    func run() throws {
        let directory = ConfigurationDirectory()
        let reports = try (names.isEmpty ? directory.files : names.map(directory.file)).map(report)
        if json {
            standardOutput(try jsonLine(reports))
        } else if reports.isEmpty {
            standardOutput("There is no file NAME.toml in \(directory.path).\n")
        }
        for report in reports where !json {
            if report.problems.isEmpty { standardOutput("\(report.file): correct\n") }
            for problem in report.problems { try? writeAll("\(problem)\n", to: STDERR_FILENO) }
        }
        guard reports.allSatisfy(\.problems.isEmpty) else {
            throw ExitCode(Failure.Kind.configuration.rawValue)
        }
    }

    private func report(_ path: String) throws -> Report {
        do {
            return Report(file: path, arguments: try ConfigCommand.file(path).arguments)
        } catch let problems as ConfigurationProblems {
            return Report(file: path, problems: problems.problems)
        }
    }
}

/// `ramdisk-nbd config show`.
struct ConfigShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print the command line that a file stands for.",
        discussion: """
            The command line is quoted for a shell.

            EXAMPLES
              The command of /etc/ramdisk-nbd/scratch.toml:
                ramdisk-nbd config show scratch
            """)

    @OptionGroup
    var argument: ConfigurationArgument

    func run() throws {
        let words = ["ramdisk-nbd"] + (try argument.file().arguments)
        standardOutput(words.map(shellWord).joined(separator: " ") + "\n")
    }
}

/// `ramdisk-nbd config run`.
struct ConfigRun: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the command that a file stands for.",
        discussion: """
            This process becomes that command, under the same pid and with its whole command line in the \
            list of processes. The command takes its options from the file alone.

            EXAMPLES
              The disk of /etc/ramdisk-nbd/scratch.toml, as the unit does it:
                ramdisk-nbd config run scratch
            """)

    @OptionGroup
    var argument: ConfigurationArgument

    func run() throws {
        let file = try argument.file()
        guard !NotifySocket.isThere || !file.arguments.contains("--daemon") else {
            throw Failure.configuration(
                "\(file.path): daemon: a service manager has started this process and watches it: "
                    + "leave the key out")
        }
        // The unit of pools is of type oneshot, which has no such socket.
        guard !NotifySocket.isThere || !file.arguments.starts(with: ["pool", "up"]) else {
            throw Failure.configuration(
                "\(file.path): command: a service manager waits for this process to serve a disk, but `pool up` "
                    + "ends: start the pool with ramdisk-nbd-pool@NAME.service")
        }
        let error = ProcessImage.replace(
            with: SelfExecution.path, name: CommandLine.arguments.first ?? "ramdisk-nbd",
            arguments: file.arguments)
        throw Failure.system("cannot run \(SelfExecution.path): \(error)")
    }
}
