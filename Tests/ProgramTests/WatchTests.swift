import Harness
import Testing

extension ProgramSuite {
    @Suite("Watching") struct Watching {
        private let program = Program.ramdiskNBD
        private let directory: TemporaryDirectory
        private let control: String

        init() throws {
            directory = try TemporaryDirectory()
            control = directory.file("control")
        }

        @Test(
            "a server that does not exist fails with a sentence that names its socket",
            arguments: ["top", "trace"])
        func noServer(command: String) async throws {
            let ending = try await program.run([command, "--control", control])
            #expect(ending.status == .exited(69))
            #expect(ending.errors.contains(control))
            #expect(ending.errors.split(separator: "\n").count == 1)
        }

        @Test(
            "an export or connection that does not exist fails with a sentence that lists those that do",
            arguments: [
                (["--export", "nosuch"], "\"vm\", \"db\""),
                (["--connection", "999"], "the server has 1"),
            ])
        func nothingToTrace(options: [String], named: String) async throws {
            try await withServer("--export", "vm=1M", "--export", "db=1M", "--control", control) {
                server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("vm")
                let ending = try await program.run(
                    ["trace", "--control", control] + options, within: .seconds(20))
                #expect(ending.status == .exited(69))
                #expect(ending.isOneSentence(naming: options[1], named), "\(ending.errors)")
                _ = client
            }
        }

        @Test(
            "a file that is not a socket fails with a sentence that says so",
            arguments: ["stats", "top", "trace"])
        func noSocket(command: String) async throws {
            let ending = try await program.run([command, "--control", "/etc/passwd"])
            #expect(ending.status == .exited(64))
            #expect(ending.isOneSentence(naming: "/etc/passwd is not a socket"), "\(ending.errors)")
        }

        @Test("on a dumb terminal prints lines without control codes")
        func dumb() async throws {
            try await withServer("--control", control) { _ in
                let line =
                    "TERM=dumb timeout --foreground -s INT 3 '\(program.name)' top --interval 100ms "
                    + "--control '\(control)'; true"
                let said = try await Program("script", package: "bsdutils")(
                    "-qfec", line, directory.file("typescript"))
                #expect(said.contains("UPTIME"))
                #expect(!said.contains("\u{1B}"))
            }
        }

        @Test(
            "with a wrong option fails with a sentence that names it",
            arguments: [
                (["top", "--interval", "1"], "'1'"), (["top", "--interval", "1ms"], "1ms"),
                (["trace", "--command", "erase"], "'erase'"), (["trace", "--count", "0"], "0"),
                (["trace", "--offset", "9-1"], "'9-1'"), (["trace", "-o", "file"], "file"),
                (["trace", "--json", "--format", "chrome"], "chrome"),
            ])
        func wrong(arguments: [String], named: String) async throws {
            let ending = try await program.run(arguments)
            #expect(ending.status == .exited(64))
            #expect(ending.errors.contains(named))
        }

        @Test("once prints one screen, without control codes if there is no terminal")
        func once() async throws {
            try await withServer("--control", control) { server in
                let said = try await program(
                    "top", "--once", "--interval", "100ms", "--control", control)
                #expect(said.contains("pid \(server.pid)"))
                #expect(said.contains("LATENCY"))
                #expect(!said.contains("\u{1B}"))
            }
        }

        @Test(
            "restores the terminal, also after a signal",
            arguments: ["INT", "TERM", "HUP"])
        func terminal(signal: String) async throws {
            try await withServer("--control", control) { _ in
                let line =
                    "export TERM=xterm; stty -g; timeout --foreground -s \(signal) 1 '\(program.name)' top "
                    + "--control '\(control)'; stty -g"
                let said = try await Program("script", package: "bsdutils")(
                    "-qec", line, directory.file("typescript"))
                let settings = said.split(separator: "\r\n").filter {
                    $0.wholeMatch(of: /[0-9a-f]+(:[0-9a-f]+)+/) != nil
                }
                #expect(said.contains("\u{1B}[?1049h"), "it does not take the other screen")
                let end = said.split(separator: "\u{1B}[?1049l", omittingEmptySubsequences: false)
                #expect(end.count == 2, "it does not go back to the first screen, once")
                #expect(settings.first != nil)
                #expect(end.last.map { $0.contains(settings.first ?? "none") } == true)
            }
        }

        @Test("a server that stops ends with a sentence, and restores the terminal")
        func gone() async throws {
            try await withServer("--control", control) { server in
                // At the end of its input, script(1) sends Ctrl-D, which ends `top`. A FIFO that is also open for
                // writing has no end.
                async let said = Program("sh", package: "dash").run([
                    "-c", "mkfifo \"$1\" && exec script -qec \"$2\" \"$3\" <>\"$1\"", "sh",
                    directory.file("keys"),
                    "TERM=xterm '\(program.name)' top --interval 100ms --control '\(control)'",
                    directory.file("typescript"),
                ])
                try await eventually("it shows something") {
                    text(of: directory.file("typescript")).contains("LATENCY")
                }
                try await server.end(with: 15)
                let ending = try await said
                #expect(ending.status == .exited(69))
                let last = ending.output.split(separator: "\u{1B}[?1049l").last ?? ""
                #expect(last.contains("ramdisk-nbd: error: "))
            }
        }
    }
}
