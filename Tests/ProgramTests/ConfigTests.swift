import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A configuration") struct Config {
        private let program = Program.ramdiskNBD
        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        private func write(_ name: String, _ text: String) throws {
            try text.write(toFile: directory.file(name), atomically: false, encoding: .utf8)
        }

        /// Runs the program with this test's directory instead of /etc/ramdisk-nbd.
        private func run(_ arguments: String..., setting: String = "X=") async throws
            -> Program.Ending
        {
            try await Program("env", package: "coreutils").run(
                ["CONFIGURATION_DIRECTORY=\(directory.path)", setting, program.name] + arguments)
        }

        /// The server of a file that listens on the socket of the test.
        private static let servesFile = #"""
            printf 'command = "serve"\nsize = "8M"\nunix = "%s"\n' "$4" >"$4.toml"
            exec "$1" config run "$4.toml"
            """#

        @Test("is served, by the same process and with its whole command line")
        func served() async throws {
            try await withServer(start: .init(shell: Self.servesFile)) { server in
                let size = try RawClient(unix: server.socketPath).enter()
                #expect(size == 8 << 20)
                let words = text(of: "/proc/\(server.pid)/cmdline").split(separator: "\0")
                #expect(words.dropFirst() == ["serve", "--size=8M", "--unix=\(server.socketPath)"])
            }
        }

        @Test("is checked with all others in the directory, and each problem is on a line")
        func checked() async throws {
            try write("a.toml", "size = \"1G\"\n")
            try write("b.toml", "sise = \"1G\"\n\nmount = 1979-05-27\n")
            try write("c.toml", "size = \"1G\"\nqueues = 0\n")
            let ending = try await run("config", "check")
            #expect(ending.status == .exited(78))
            #expect(ending.output == "\(directory.file("a.toml")): correct\n")
            let lines = ending.errors.split(separator: "\n")
            #expect(lines.count == 2)
            #expect(lines.first?.hasPrefix("\(directory.file("b.toml")):3: mount: ") == true)
            #expect(lines.last?.hasPrefix("\(directory.file("c.toml")):2: queues: ") == true)
            #expect(try await run("config", "check", "a").status == .exited(0))
            #expect(
                try await run("config", "check", directory.file("b.toml")).status == .exited(78))
        }

        @Test("is checked for programs too")
        func json() async throws {
            try write("a.toml", "size = \"1G\"\n")
            try write("b.toml", "sise = \"1G\"\n")
            let ending = try await run("config", "check", "--json")
            #expect(ending.status == .exited(78))
            #expect(ending.errors.isEmpty)
            #expect(
                ending.output == """
                    [{"arguments":["up","--size=1G"],"file":"\(directory.file("a.toml"))","problems":[]},\
                    {"file":"\(directory.file("b.toml"))","problems":[{\
                    "key":"sise","line":1,"message":"there is no such key: did you mean size?"}]}]

                    """)
        }

        @Test("that does not exist is not an error in a check of all, and one by its name")
        func none() async throws {
            let ending = try await run("config", "check")
            #expect(ending.status == .exited(0))
            #expect(ending.output == "There is no file NAME.toml in \(directory.path).\n")
            for command in ["check", "show", "run"] {
                let ending = try await run("config", command, "x")
                #expect(ending.status == .exited(78))
                #expect(
                    ending.errors.contains(
                        "\(directory.file("x.toml")): cannot read the file: No such"))
            }
        }

        @Test("is shown as a command line that a shell reads as the same words")
        func shown() async throws {
            try write("a.toml", "mount = '/a b'\nmkfs-options = \"-L it's\"\nsparse = true\n")
            let shown = try await run("config", "show", "a").output
            #expect(
                shown == #"ramdisk-nbd up '--mount=/a b' '--mkfs-options=-L it'\''s' --sparse"#
                    + "\n")
        }

        @Test("that is wrong is not run, and the error names the line")
        func wrong() async throws {
            try write("a.toml", "\nsize = \"0\"\n")
            let ending = try await run("config", "run", "a")
            #expect(ending.status == .exited(78))
            let start = "\(directory.file("a.toml")):2: size: "
            #expect(ending.isOneSentence(naming: start), "\(ending.errors)")
        }

        @Test(
            "with daemon is rejected under a service manager, which would lose sight of the process"
        )
        func daemon() async throws {
            try write("a.toml", "daemon = true\nfilesystem = \"none\"\n")
            let ending = try await run("config", "run", "a", setting: "NOTIFY_SOCKET=/nowhere")
            #expect(ending.status == .exited(78))
            #expect(ending.isOneSentence(naming: "a.toml: daemon: "), "\(ending.errors)")
            #expect(try await run("config", "check", "a").status == .exited(0))
        }

        @Test("of a pool is rejected under the unit of disks, which starts before the network")
        func pool() async throws {
            try write(
                "a.toml",
                "command = \"pool\"\nlevel = 1\nmembers = [\"nbd://127.0.0.1:1\", \"missing\"]\n")
            let ending = try await run("config", "run", "a", setting: "NOTIFY_SOCKET=/nowhere")
            #expect(ending.status == .exited(78))
            #expect(
                ending.isOneSentence(naming: "ramdisk-nbd-pool@NAME.service"), "\(ending.errors)")
            #expect(try await run("config", "check", "a").status == .exited(0))
        }

        @Test("takes no options beside those of its file")
        func noOptions() async throws {
            try write("a.toml", "size = \"1G\"\n")
            let ending = try await run("config", "run", "a", "--size", "2G")
            #expect(ending.status == .exited(64))
            #expect(ending.errors.contains("--size"))
        }

        @Test("has samples that are correct")
        func samples() async throws {
            let folder = URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../contrib/config").standardized.path
            let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            #expect(!names.isEmpty)
            try await program(["config", "check"] + names.map { "\(folder)/\($0)" })
        }
    }
}
