internal import LinuxIO
internal import ProgramSupport
internal import SystemPackage

/// A file that stands for a command line: its keys are the long names of options.
package struct ConfigurationFile: Sendable {
    package let path: String
    /// The name of the command: the value of the key `command`, or `up`.
    package let command: String
    private let settings: [(key: String, line: Int, arguments: [String])]
    private let words: [String]
    /// The option that only the file's name gives.
    private let nameArguments: [String]

    /// The arguments of the program that the file stands for, after those of the command.
    package var options: [String] { nameArguments + settings.flatMap(\.arguments) }

    /// The arguments of the program that the file stands for; the command is the first one.
    package var arguments: [String] { words + options }

    /// The largest size of a file in bytes: a hundred times that of a file with every key.
    private static let limit = 64 << 10
    private static let commandKey = "command"

    /// Reads a file, and checks it as the command would.
    package init(
        path: String, commands: [ConfigurableCommand]
    ) throws(ConfigurationProblems) {
        let (settings, errors) = ConfigurationReader.read(try Self.text(of: path))
        func problem(_ line: Int?, _ key: String?, _ message: String) -> ConfigurationProblem {
            ConfigurationProblem(file: path, line: line, key: key, message: message)
        }
        guard errors.isEmpty else {
            throw ConfigurationProblems(
                problems: errors.map { problem($0.line, $0.key, $0.message) })
        }
        let named = settings.first { $0.key == Self.commandKey }
        guard let command = Self.command(named, of: commands) else {
            let names = commands.map { "\"\($0.name)\"" }.joined(separator: " or ")
            throw ConfigurationProblems(
                problems: [problem(named?.line, Self.commandKey, "give \(names)")])
        }
        var translated: [(key: String, line: Int, arguments: [String])] = []
        var problems: [ConfigurationProblem] = []
        for setting in settings where setting.key != Self.commandKey {
            do throws(Mismatch) {
                let arguments = try Self.arguments(of: setting, command, others: commands)
                translated.append((setting.key, setting.line, arguments))
            } catch {
                problems.append(problem(setting.line, setting.key, error.message))
            }
        }
        guard problems.isEmpty else { throw ConfigurationProblems(problems: problems) }
        self.path = path
        self.command = command.name
        self.settings = translated
        words = command.words
        nameArguments = Self.nameArguments(of: command, path, translated.map(\.key))
        if let problem = self.problem(of: command) {
            throw ConfigurationProblems(problems: [problem])
        }
    }

    private static func text(of path: String) throws(ConfigurationProblems) -> String {
        let message: String
        do throws(Errno) {
            let text = try TextFile.contents(of: path)
            // Invalid UTF-8 was decoded to this character.
            if !text.contains("\u{fffd}"), text.utf8.count <= limit { return text }
            message =
                text.utf8.count > limit
                ? "the file has more than \(limit >> 10) KiB: it is not a configuration"
                : "the file is not UTF-8"
        } catch {
            message = "cannot read the file: \(error)"
        }
        throw ConfigurationProblems(problems: [
            ConfigurationProblem(file: path, line: nil, key: nil, message: message)
        ])
    }

    /// Returns the command that a setting names; the first one without a setting.
    private static func command(
        _ setting: Setting?, of commands: [ConfigurableCommand]
    ) -> ConfigurableCommand? {
        guard let setting else { return commands.first }
        return commands.first { .text($0.name) == setting.value }
    }

    /// Returns the option that gives the file's name, without the suffix, unless the file has it.
    private static func nameArguments(
        of command: ConfigurableCommand, _ path: String, _ keys: [String]
    ) -> [String] {
        guard let key = command.nameKey, !keys.contains(key) else { return [] }
        let file = path.split(separator: "/").last ?? ""
        return ["--\(key)=\(file.hasSuffix(".toml") ? file.dropLast(5) : file)"]
    }

    private static func arguments(
        of setting: Setting, _ command: ConfigurableCommand, others: [ConfigurableCommand]
    ) throws(Mismatch) -> [String] {
        if let option = command.options[setting.key] {
            return try option.arguments(key: setting.key, setting.value)
        }
        if let other = others.first(where: { $0.options[setting.key] != nil }) {
            throw Mismatch(
                "it is an option of \(other.name), but the file is for \(command.name): remove it, or "
                    + "set \(commandKey) = \"\(other.name)\"")
        }
        let names = command.options.keys.sorted() + [commandKey]
        let hint = closestName(to: setting.key, among: names).map { "did you mean \($0)?" }
        let program = command.words.joined(separator: " ")
        throw Mismatch("there is no such key: " + (hint ?? "see ramdisk-nbd \(program) --help"))
    }

    /// Returns the parser's error for the arguments, attributed to the first key without which the error does not
    /// occur, unless the parser then reports that this option is missing.
    private func problem(of command: ConfigurableCommand) -> ConfigurationProblem? {
        guard let message = command.problem(options) else { return nil }
        let cause = settings.indices.first { index in
            var rest = settings
            rest.remove(at: index)
            let other = command.problem(nameArguments + rest.flatMap(\.arguments))
            return other != message && other?.contains("--\(settings[index].key) ") != true
        }
        return ConfigurationProblem(
            file: path, line: cause.map { settings[$0].line }, key: cause.map { settings[$0].key },
            message: message.split(separator: "\n").joined(separator: " "))
    }
}
