import Harness
import Testing

extension ProgramSuite {
    @Suite("The command line") struct Usage {
        private let program = Program.ramdiskNBD

        @Test(
            "that is wrong is rejected with one sentence that names what is wrong",
            arguments: WrongLine.all)
        func wrong(line: WrongLine) async throws {
            let ending = try await program.run(line.arguments)
            #expect(ending.status == .exited(64))
            #expect(ending.output.isEmpty)
            let sentences = ending.errors.split(separator: "\n").filter { $0.hasPrefix("Error: ") }
            #expect(sentences.count == 1)
            #expect(sentences.first?.contains(line.named) == true, "\(ending.errors)")
        }

        @Test("can ask for the version")
        func version() async throws {
            let said = try await program("--version")
            #expect(said.wholeMatch(of: /ramdisk-nbd \d+\.\d+\.\d+\n/) != nil)
        }

        @Test(
            "gets help with examples",
            arguments: [["--help"], ["serve", "--help"], ["help", "serve"]])
        func help(arguments: [String]) async throws {
            let said = try await program(arguments)
            #expect(said.contains("EXAMPLES"))
            #expect(said.contains("ramdisk-nbd serve"))
            #expect(said.contains("nbd-client localhost /dev/nbd0"))
        }

        @Test("has every option in its help")
        func everyOption() async throws {
            let said = try await program("serve", "--help")
            let options = [
                "--size", "--listen", "--unix", "--export", "--read-only", "--max-connections",
                "--sparse", "--busy-poll", "--log-level", "--pid-file", "--backing",
                "--backing-directory", "--keep", "--huge-pages",
                "--cpu-list", "--swap", "--version", "--help",
                "--allow-network", "--allow-user", "--allow-group", "--unix-mode", "--unix-owner",
                "--stdio",
                "--max-connections-per-address", "--handshake-timeout", "--stall-timeout",
                "--max-handshakes", "--description", "--sandbox", "--user", "--no-dump",
            ]
            for option in options { #expect(said.contains(option)) }
            #expect(said.contains("default: 40M"))
        }

        @Test(
            "with a misspelt command gets a hint at a command with a similar name",
            arguments: [
                ("serv", "\"serve\""), ("stat", "\"stats\""), ("tpo", "\"top\""), ("x", "--help"),
            ])
        func misspelt(command: String, meant: String) async throws {
            let ending = try await program.run([command])
            #expect(ending.status == .exited(64))
            #expect(ending.isOneSentence(naming: "\"\(command)\"", meant), "\(ending.errors)")
        }

        @Test(
            "whose output cannot be written fails",
            arguments: [["--help"], ["--version"], ["serve", "--help"], ["list"]])
        func fullOutput(arguments: [String]) async throws {
            let ending = try await Program("sh", package: "dash").run(
                ["-c", "exec \"$@\" >/dev/full", "sh", program.name] + arguments)
            #expect(ending.status == .exited(74))
            #expect(ending.isOneSentence(naming: "standard output"), "\(ending.errors)")
        }

        @Test("has in the help of a command only its own options")
        func ownOptions() async throws {
            let up = try await program("up", "--help")
            #expect(!up.contains("--export"))
            #expect(!up.contains("`attach`"))
            #expect(up.contains("(default: 30s; with"))
            let attach = try await program("attach", "--help")
            #expect(!attach.contains("`up`"))
            #expect(!attach.contains("--supervise"))
            #expect(attach.contains("(default: 30s; with --stay"))
        }

        @Test("gets completion scripts for shells", arguments: ["bash", "zsh", "fish"])
        func completion(shell: String) async throws {
            let script = try await program("--generate-completion-script", shell)
            #expect(script.contains("max-connections"))
        }

        @Test("gets a completion script that bash understands")
        func bashCompletion() async throws {
            let script = try await program("--generate-completion-script", "bash")
            try await Program("bash", package: "bash")("-n", "-c", script)
        }

        @Test("without a subcommand lists the commands")
        func nothing() async throws {
            let said = try await program([])
            #expect(said.contains("SUBCOMMANDS"))
        }
    }
}

/// Wrong arguments, and words that the error must contain.
struct WrongLine: Sendable, CustomTestStringConvertible {
    let arguments: [String]
    let named: String

    init(_ arguments: String..., names named: String) {
        self.arguments = ["serve"] + arguments
        self.named = named
    }

    var testDescription: String { arguments.joined(separator: " ") }
}

extension WrongLine {
    static let all = [
        WrongLine("--size", "large", names: "'large'"),
        WrongLine("--size", "", names: "--size"),
        WrongLine("--size", "-1", names: "--size"),
        WrongLine("--size", "1.1G", names: "sectors of 512 bytes"),
        WrongLine("--size", "1ß", names: "'1ß'"),
        WrongLine("--size", "1P", names: "'1P'"),
        WrongLine("--size", "40Mi", names: "KiB, MiB"),
        WrongLine("--size", "99999999999999999999", names: "99999999999999999999"),
        WrongLine("--size", "99999999T", names: "99999999T"),
        WrongLine("--size", "0", names: "0 bytes"),
        WrongLine("--size", "4095", names: "4095 bytes"),
        WrongLine("--size", "8388608T", names: "9223372036854775808 bytes"),
        WrongLine("--size", names: "--size"),
        WrongLine("--listen", "", names: "--listen"),
        WrongLine("--listen", "localhost:", names: "'localhost:'"),
        WrongLine("--listen", "localhost:65536", names: "'localhost:65536'"),
        WrongLine("--listen", "localhost:http", names: "'localhost:http'"),
        WrongLine("--listen", "[::1", names: "'[::1'"),
        WrongLine("--listen", "::1", names: "'::1'"),
        WrongLine("--unix", "", names: "--unix"),
        WrongLine("--unix", "/tmp/" + String(repeating: "x", count: 103), names: "up to 107 bytes"),
        WrongLine("--export", "", names: "--export"),
        WrongLine("--export", "=4M", names: "'=4M'"),
        WrongLine("--export", "disk=", names: "'disk='"),
        WrongLine("--export", "disk=40X", names: "'disk=40X'"),
        WrongLine("--export", "disk=1", names: "1 bytes"),
        WrongLine("--description", String(repeating: "x", count: 4097), names: "--description"),
        WrongLine("--export", "disk=4M", "--export", "disk=8M", names: "disk"),
        WrongLine("--export", String(repeating: "x", count: 4097), names: "xxx"),
        WrongLine("--max-connections", "0", names: "--max-connections"),
        WrongLine("--max-connections", "10001", names: "--max-connections"),
        WrongLine("--max-connections", "many", names: "'many'"),
        WrongLine("--max-handshakes", "0", names: "--max-handshakes"),
        WrongLine("--max-handshakes", "10001", names: "--max-handshakes"),
        WrongLine("--busy-poll", "1001us", names: "--busy-poll is 1001us"),
        WrongLine("--busy-poll", "50", names: "Add a unit, such as 50s"),
        WrongLine("--busy-poll", "-1", names: "--busy-poll"),
        WrongLine("--backing", "", names: "\"\""),
        WrongLine("--backing", "..", names: "\"..\""),
        WrongLine("--backing", "a/b", names: "\"a/b\""),
        WrongLine("--backing", "../etc/passwd", names: "no slash"),
        WrongLine("--backing", String(repeating: "x", count: 201), names: "xxx"),
        WrongLine("--backing", "x", "--export", "a/b", "--export", "c", names: "\"x-a/b\""),
        WrongLine("--cpu-list", "", names: "--cpu-list"),
        WrongLine("--cpu-list", "1-0", names: "'1-0'"),
        WrongLine("--cpu-list", "0,,1", names: "'0,,1'"),
        WrongLine("--cpu-list", "0-1-2", names: "'0-1-2'"),
        WrongLine("--cpu-list", "-1", names: "--cpu-list"),
        WrongLine("--cpu-list", "1024", names: "'1024'"),
        WrongLine("--keep", names: "--backing"),
        WrongLine("--backing-directory", "/dev/shm", names: "--backing"),
        WrongLine("--sparse", "--huge-pages", names: "--huge-pages"),
        WrongLine("--image", "", names: "--image"),
        WrongLine("--image", "x", "--load", "y", names: "--load and --image"),
        WrongLine("--image", "x", "--export", "a", "--export", "b", names: "2 --export options"),
        WrongLine("--restore-first", names: "--restore-first needs --image"),
        WrongLine("--save-every", "1s", names: "--save-every needs --image"),
        WrongLine("--save-every", "1s", "--load", "x", names: "--save-every needs --image"),
        WrongLine("--save-every", "999ms", "--image", "x", names: "at least 1s"),
        WrongLine("--save-every", "5", "--image", "x", names: "'5'"),
        WrongLine("--log-level", "loud", names: "'loud'"),
        WrongLine("--allow-network", "here", names: "'here'"),
        WrongLine("--allow-network", "10.0.0.0/33", names: "'10.0.0.0/33'"),
        WrongLine("--allow-network", "10.1.2.3/8", names: "10.0.0.0/8 or 10.1.2.3"),
        WrongLine("--allow-network", "::1", "--unix", "/tmp/x", names: "--allow-network ::1"),
        WrongLine(
            "--allow-user", "nobody-of-this-name", "--unix", "/tmp/x", names: "of-this-name'"),
        WrongLine("--allow-group", "-1", "--unix", "/tmp/x", names: "--allow-group"),
        WrongLine("--allow-group", "root", names: "--unix"),
        WrongLine("--allow-user", "0", "--stdio", names: "--stdio"),
        WrongLine("--user", "nobody-of-this-name", names: "of-this-name'"),
        WrongLine("--user", "root", names: "--user root is root"),
        WrongLine("--user", "nobody", "--swap", names: "--user and --swap"),
        WrongLine("--user", "nobody", "--backing", "x", names: "--user and --backing"),
        WrongLine("--sandbox", "perhaps", names: "perhaps"),
        WrongLine("--stdio", "--listen", "localhost", names: "--stdio"),
        WrongLine("--unix-mode", "660", names: "--unix-mode"),
        WrongLine("--unix-mode", "1777", "--unix", "/tmp/x", names: "'1777'"),
        WrongLine("--unix-mode", "rw", "--unix", "/tmp/x", names: "'rw'"),
        WrongLine(
            "--unix-owner", "nobody-of-this-name", "--unix", "/tmp/x", names: "of-this-name'"),
        WrongLine("--unix-owner", ":", "--unix", "/tmp/x", names: "':'"),
        WrongLine("--max-connections-per-address", "0", names: "--max-connections-per-address"),
        WrongLine("--handshake-timeout", "0", names: "--handshake-timeout"),
        WrongLine("--handshake-timeout", "1e3", names: "'1e3'"),
        WrongLine("--handshake-timeout", "99ms", names: "from 100ms to 1h"),
        WrongLine("--stall-timeout", "86401s", names: "--stall-timeout is 86401s"),
        WrongLine("--stall-timeout", "10", names: "Add a unit, such as 10s"),
        WrongLine("--tls", "required", names: "'required'"),
        WrongLine("--stall-timeout", "-1", names: "--stall-timeout"),
        WrongLine("--fast", names: "--fast"),
        WrongLine("/dev/nbd0", names: "/dev/nbd0"),
    ]
}
