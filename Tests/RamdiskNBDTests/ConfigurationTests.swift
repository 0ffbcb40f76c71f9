import ArgumentParser
import Foundation
import Harness
import ProgramSupport
import Testing

@testable import ConfigurationFiles
@testable import RamdiskNBD

@Suite("A configuration file") struct ConfigurationTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Writes a file and reads it as the program does.
    private func file(_ text: String) throws -> ConfigurationFile {
        let path = directory.file("disk.toml")
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        return try ConfigurationFile(path: path, commands: try Self.commands.get())
    }

    /// Made once, as the parser takes long to describe itself.
    fileprivate static let commands = Result {
        try ConfigCommand.commands.map(ConfigurableCommand.init)
    }

    /// Returns what is wrong with a file: the problems without the file's path.
    private func problems(_ text: String) throws -> [String] {
        let thrown = #expect(throws: ConfigurationProblems.self) { try file(text) }
        return (thrown?.problems ?? []).map { problem in
            String(problem.description.dropFirst(directory.file("disk.toml").count + 1))
        }
    }

    @Test(
        "has a key for each option of its commands that help shows, for members, and for no other")
    func keys() throws {
        for (command, own) in zip(ConfigCommand.commands, try Self.commands.get()) {
            let help = command.helpMessage(columns: 1_000)
            let lines = help.split(separator: "\n").compactMap {
                $0.firstMatch(of: #/^ +(?:-\w, )?--([a-z-]+)/#)
            }
            let shown = Set(lines.map { String($0.1) }).subtracting(["help", "version"])
            #expect(shown.count > 8)
            let members = own.name == "pool" ? ["members"] : []
            #expect(Set(own.options.keys) == shown.union(members))
        }
    }

    @Test(
        "means with each key what the command line means with the option",
        arguments: try OptionExample.all())
    func equivalence(example: OptionExample) throws {
        let read = try file("command = \"\(example.name)\"\n" + example.lines)
        #expect(read.command == example.name)
        let fromFile = try example.command.parse(read.options)
        let fromLine = try example.command.parse(example.arguments)
        #expect(String(reflecting: fromFile) == String(reflecting: fromLine))
        // The option is not one that the parser ignores.
        let without = try? example.command.parse(example.required)
        #expect(String(reflecting: fromFile) != without.map { String(reflecting: $0) })
    }

    @Test("of a pool gives it the file's name, unless it has another one, and its members")
    func pool() throws {
        let text = """
            command = "pool"
            level = 1
            members = ["local=2G", "nbd://host-a"]
            """
        #expect(
            try file(text).arguments == [
                "pool", "up", "--name=disk", "--level=1", "local=2G", "nbd://host-a",
            ])
        #expect(
            try file(text + "\nname = \"r\"").arguments == [
                "pool", "up", "--level=1", "local=2G", "nbd://host-a", "--name=r",
            ])
    }

    @Test("is for up without the key command")
    func standardCommand() throws {
        #expect(try file("size = \"64M\" # a comment\n").arguments == ["up", "--size=64M"])
        #expect(try file("").arguments == ["up"])
        #expect(try file("\r\n  \n# nothing").arguments == ["up"])
    }

    @Test("has lists, flags and integers, and keeps the order of the keys")
    func values() throws {
        let text = """
            command = 'serve'
            listen = [ # two
                "127.0.0.1:0", '[::1]:0',
            ]
            read-only = true
            sparse = false
            max-connections = 1_000
            """
        #expect(
            try file(text).arguments == [
                "serve", "--listen=127.0.0.1:0", "--listen=[::1]:0", "--read-only",
                "--max-connections=1000",
            ])
    }

    @Test("can name the snapshot of another server as the template")
    func snapshot() throws {
        let text = "template = \"db@ready\"\ntemplate-server = \"/run/a.control\"\n"
        #expect(
            try file(text).arguments == [
                "up", "--template=db@ready", "--template-server=/run/a.control",
            ])
    }

    @Test("passes a value on as it is: nothing is expanded, and nothing becomes another option")
    func verbatim() throws {
        let text = """
            command = "serve"
            description = '$HOME `id` $(id) %i ~ "x" \\ *'
            """
        let serve = try Serve.parse(Array(file(text).arguments.dropFirst()))
        #expect(serve.disks.description == #"$HOME `id` $(id) %i ~ "x" \ *"#)
        let empty = try file("command = \"serve\"\ndescription = \"\"\nsparse = true\n")
        #expect(empty.arguments == ["serve", "--description", "", "--sparse"])
        #expect(try Serve.parse(Array(empty.arguments.dropFirst())).disks.description.isEmpty)
        let dash = try file("mount = \"/x\"\nmkfs-options = \"-m 0\"\nmount-options = \"--swap\"\n")
        let up = try Up.parse(Array(dash.arguments.dropFirst()))
        #expect(up.fileSystem.mkfsOptions == "-m 0")
        #expect(up.fileSystem.mountOptions == "--swap")
        #expect(!up.swap)
    }

    @Test("that is wrong is rejected with the line and the key", arguments: WrongFile.all)
    func wrong(example: WrongFile) throws {
        let found = try problems(example.text)
        #expect(found.count == example.problems.count, "\(found)")
        for (found, expected) in zip(found, example.problems) {
            #expect(found.hasPrefix(expected.start), "\(found)")
            #expect(found.contains(expected.named), "\(found)")
            #expect(!found.contains("\n"))
        }
    }

    @Test("that is not text, or is too long, is rejected as a whole")
    func unreadable() throws {
        let path = directory.file("disk.toml")
        try Data([0x73, 0x3d, 0xff, 0x0a]).write(to: URL(filePath: path))
        #expect(throws: ConfigurationProblems.self) { try ConfigCommand.file(path) }
        #expect(try problems(String(repeating: "# long\n", count: 10_000))[0].contains("64 KiB"))
        let missing = #expect(throws: ConfigurationProblems.self) {
            try ConfigCommand.file(directory.file("missing.toml"))
        }
        #expect(
            missing?.description.hasSuffix("cannot read the file: No such file or directory")
                == true)
        let folder = #expect(throws: ConfigurationProblems.self) {
            try ConfigCommand.file(directory.path)
        }
        #expect(folder?.description.contains("cannot read the file") == true)
    }

    @Test("is in /etc/ramdisk-nbd, in the unit's directory, or where a path says")
    func places() throws {
        let standard = ConfigurationDirectory(environment: [:])
        #expect(standard.file("a-b") == "/etc/ramdisk-nbd/a-b.toml")
        #expect(standard.file("a.toml") == "/etc/ramdisk-nbd/a.toml")
        #expect(standard.file("./a") == "./a")
        let unit = ConfigurationDirectory(environment: ["CONFIGURATION_DIRECTORY": "/a:/b"])
        #expect(unit.path == "/a")
        #expect(
            ConfigurationDirectory(environment: ["CONFIGURATION_DIRECTORY": "a"]).path
                == standard.path)
        for name in ["b.toml", "a.toml", ".c.toml", "d.toml~"] {
            try "".write(toFile: directory.file(name), atomically: false, encoding: .utf8)
        }
        let own = ConfigurationDirectory(environment: ["CONFIGURATION_DIRECTORY": directory.path])
        #expect(own.files == ["a.toml", "b.toml"].map(directory.file))
    }
}

/// A file that is wrong, and its problems: how each begins, and what else it contains.
struct WrongFile: Sendable, CustomTestStringConvertible {
    let text: String
    let problems: [(start: String, named: String)]

    init(_ text: String, _ problems: (start: String, named: String)...) {
        self.text = text
        self.problems = problems
    }

    var testDescription: String { text.replacing("\n", with: " ⏎ ") }

    static let all = [
        // The text itself.
        WrongFile("size = 2G", ("1: size: ", "a text needs quotes: size = \"2G\"")),
        WrongFile(
            "\nsize = 2G\nmount = /mnt\n", ("2: size: ", "quotes"), ("3: mount: ", "\"/mnt\"")),
        WrongFile("unix-mode = 0660", ("1: unix-mode: ", "unix-mode = \"0660\"")),
        WrongFile("unix-mode = 0o660", ("1: unix-mode: ", "quotes")),
        WrongFile("queues = 1.5", ("1: queues: ", "quotes")),
        WrongFile("queues = 1__0", ("1: queues: ", "quotes")),
        WrongFile("queues = True", ("1: queues: ", "quotes")),
        WrongFile("queues = 9223372036854775808", ("1: queues: ", "quotes")),
        WrongFile("size", ("1: size: ", "equals sign")),
        WrongFile("size: 2G", ("1: size: ", "equals sign")),
        WrongFile("size =", ("1: size: ", "missing")),
        WrongFile("size = # 2G", ("1: size: ", "missing")),
        WrongFile("= 1", ("1: ", "begins with a key")),
        WrongFile("\u{feff}size = 1", ("1: ", "begins with a key")),
        WrongFile("[disk]\nsize = \"1G\"", ("1: ", "no tables")),
        WrongFile("disk.size = \"1G\"", ("1: ", "no tables")),
        WrongFile("size = { a = 1 }", ("1: size: ", "quotes")),
        WrongFile("size = \"1G", ("1: size: ", "add the quote")),
        WrongFile("size = '1G\n'", ("1: size: ", "add the quote"), ("2: ", "begins with a key")),
        WrongFile("size = \"1G\" \"2G\"", ("1: size: ", "nothing but a comment")),
        WrongFile("size = \"\"\"1G\"\"\"", ("1: size: ", "one quote")),
        WrongFile("mount = \"\\d\"", ("1: mount: ", "escape")),
        WrongFile("mount = \"\\u0000\"", ("1: mount: ", "escape")),
        WrongFile("mount = \"\\ud800\"", ("1: mount: ", "escape")),
        WrongFile("mount = \"\\u12", ("1: mount: ", "escape")),
        WrongFile("mount = \"\u{1}\"", ("1: mount: ", "control character")),
        WrongFile("# \u{0}\nsize = \"1G\"", ("1: ", "control character")),
        WrongFile("listen = [\n\"a\"\n", ("3: listen: ", "the list has no end")),
        WrongFile("listen = [\n2G,\n\"b\"\n]", ("2: listen: ", "quotes")),
        WrongFile("listen = [\"a\" \"b\"]", ("1: listen: ", "comma")),
        WrongFile("listen = [[\"a\"]]", ("1: listen: ", "texts in quotes only")),
        WrongFile("listen = [true]", ("1: listen: ", "texts in quotes only")),
        WrongFile("size = \"1G\"\n\nsize = \"2G\"", ("3: size: ", "line 1")),
        // The keys, and what kind of value they have.
        WrongFile("command = \"down\"", ("1: command: ", "\"up\" or \"serve\" or \"pool\"")),
        WrongFile("command = true", ("1: command: ", "\"up\" or \"serve\" or \"pool\"")),
        WrongFile("sise = \"1G\"", ("1: sise: ", "did you mean size?")),
        WrongFile("mount_options = \"ro\"", ("1: mount_options: ", "did you mean mount-options?")),
        WrongFile("--size = \"1G\"", ("1: --size: ", "did you mean size?")),
        WrongFile("frobnicate = 1", ("1: frobnicate: ", "ramdisk-nbd up --help")),
        WrongFile("help = true", ("1: help: ", "no such key")),
        WrongFile("version = true", ("1: version: ", "no such key")),
        WrongFile("role = \"worker\"", ("1: role: ", "no such key")),
        WrongFile("listen = \"::1\"", ("1: listen: ", "command = \"serve\"")),
        WrongFile("sparse = \"yes\"", ("1: sparse: ", "true or false")),
        WrongFile("size = true", ("1: size: ", "text in quotes")),
        WrongFile("size = [\"1G\"]", ("1: size: ", "not a list")),
        WrongFile("load = \"disk.img\"", ("1: load: ", "begins with a slash")),
        WrongFile("load = \"db@ready\"", ("1: load: ", "begins with a slash")),
        WrongFile("template = \"./db@ready\"", ("1: template: ", "begins with a slash")),
        WrongFile(
            "template = \"/db@ready\"\ntemplate-server = \"/run/a\"",
            ("2: template-server: ", "DISK@SNAPSHOT")),
        WrongFile(
            "sparse = 1\n# x\nsize = false\n", ("1: sparse: ", "true or false"),
            ("3: size: ", "text in quotes")),
        // Members of a pool.
        WrongFile("members = \"nbd://a\"", ("1: members: ", "command = \"pool\"")),
        WrongFile(
            "command = \"pool\"\nlevel = 1\nmembers = [\"nbd://a\", \"--force\"]",
            ("3: members: ", "keys of their own")),
        WrongFile(
            "command = \"pool\"\nlevel = 1\nmembers = \"@members\"",
            ("3: members: ", "begins with a slash")),
        WrongFile(
            "command = \"pool\"\nlevel = 1\nmembers = [\"nbd://a\"]",
            ("3: members: ", "2 to 32 members, not 1")),
        WrongFile(
            "command = \"pool\"\nmembers = [\"nbd://a\", \"nbd://b\"]", ("", "--level")),
        WrongFile("command = \"pool\"\nleval = 1", ("2: leval: ", "did you mean level?")),
        WrongFile("command = \"pool\"\nfrobnicate = 1", ("2: frobnicate: ", "pool up --help")),
        // The values, of which the parser of the command line knows what is right.
        WrongFile("sparse = true\nsize = \"large\"\n", ("2: size: ", "'large'")),
        WrongFile("\nsize = \"1\"\n", ("2: size: ", "A disk cannot have 1 bytes")),
        WrongFile("mount = \"/x\"\nkeep = true", ("2: keep: ", "--keep needs --backing")),
        WrongFile("queues = 99\nsparse = true", ("1: queues: ", "from 1 to 32")),
        WrongFile(
            "command = \"serve\"\nlisten = [\n\"[\"\n]", ("2: listen: ", "'['")),
        WrongFile(
            "command = \"serve\"\nsize = \"8M\"\nallow-network = [\"192.0.2.1/24\"]",
            ("3: allow-network: ", "bits beyond its prefix")),
    ]
}

/// An option, with a value that its command accepts, in a file and on the command line.
struct OptionExample: Sendable, CustomTestStringConvertible {
    let command: any ParsableCommand.Type
    /// The value of the key `command`.
    let name: String
    let key: String
    let values: [String]
    let isFlag: Bool
    /// Options that it needs.
    let others: [(key: String, value: String)]

    var testDescription: String { "\(name) --\(key)" }

    /// The key of the arguments without a name, which are the values of a pool's members.
    private static let positional = "members"

    /// The other options, and the name that a file gives to a pool.
    var required: [String] {
        others.flatMap { Self.arguments($0.key, $0.value) }
            + (name == "pool" && key != "name" ? ["--name=disk"] : [])
    }

    /// As a person would type it.
    var arguments: [String] {
        required + (isFlag ? ["--\(key)"] : values.flatMap { Self.arguments(key, $0) })
    }

    private static func arguments(_ key: String, _ value: String) -> [String] {
        key == positional ? value.split(separator: " ").map(String.init) : ["--\(key)", value]
    }

    /// As it is in a file.
    var lines: String {
        let list = values.map { "\"\($0)\"" }.joined(separator: ", ")
        let value = isFlag ? "true" : values.count == 1 ? list : "[\(list)]"
        let rest = others.map { other in
            let list = other.value.split(separator: " ").map { "\"\($0)\"" }.joined(separator: ", ")
            return other.key == Self.positional
                ? "members = [\(list)]\n" : "\(other.key) = \"\(other.value)\"\n"
        }
        return rest.joined() + "\(key) = \(value)\n"
    }

    private var isAccepted: Bool { (try? command.parse(arguments)) != nil }

    /// One of these must suit each option; a new option may need a new one.
    private static let samples = [
        "3", "5", "64M", "32M", "7s", "20us", "/nowhere/a", "/nowhere/b", "192.0.2.1", "192.0.2.2",
        "root",
        "daemon", "660", "/dev/nbd5", "ext4", "a", "b", "off", "json", "debug", "1",
        "nbd+srv://_a.b", "nbd+srv://_c.d",
    ]
    private static let companions: [[(key: String, value: String)]] = [
        [], [("backing", "a")], [("image", "/nowhere/image")], [("mount", "/nowhere/mount")],
        [("unix", "/nowhere/socket")], [("tls-certificates", "/nowhere/certificates")],
        [("template", "/nowhere/template")], [("template", "a@b")],
    ]
    private static let poolCompanions: [[(key: String, value: String)]] = [
        [("level", "1"), ("members", "nbd://x nbd://y")], [("level", "1")],
        [("members", "nbd://x nbd://y")],
        [("level", "1"), ("members", "nbd://x nbd://y"), ("mount", "/nowhere/mount")],
    ]

    /// An example for each option of each command.
    static func all() throws -> [OptionExample] {
        let described = try ConfigurationTests.commands.get()
        return try zip(ConfigCommand.commands, described).flatMap { command, description in
            try description.options.sorted { $0.key < $1.key }.map { key, option in
                let found = example(command, description.name, key, option)
                return try #require(found, "no sample suits \(description.name) --\(key)")
            }
        }
    }

    private static func example(
        _ command: any ParsableCommand.Type, _ name: String, _ key: String,
        _ option: ConfigurableOption
    ) -> OptionExample? {
        let companions = name == "pool" ? poolCompanions : companions
        for others in companions where !others.contains(where: { $0.key == key }) {
            // A path in a file must be absolute.
            let suitable = samples.filter { !option.isPath || $0.hasPrefix("/") }
            let examples = suitable.map { sample in
                OptionExample(
                    command: command, name: name, key: key, values: [sample],
                    isFlag: option.kind == .flag,
                    others: others)
            }
            // Lazily, as the parser takes milliseconds.
            let accepted = examples.lazy.filter(\.isAccepted)
            guard let first = accepted.first else { continue }
            guard option.isRepeating, let second = accepted.dropFirst().first else { return first }
            return OptionExample(
                command: command, name: name, key: key, values: first.values + second.values,
                isFlag: false, others: others)
        }
        return nil
    }
}
