internal import Foundation
internal import Glibc
internal import Harness
import Testing

extension ProgramSuite {
    @Suite("Clones of a running server") struct Clones {
        @Test("of a snapshot are made, written, listed and deleted, and share one copy of it")
        func life() async throws {
            try await withServer("--export", "db=8M") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("db")
                try client.write([1, 2, 3, 4], at: 4096)
                _ = try await run("snapshot", "create", "db@ready", of: server)
                try client.write([9, 9, 9, 9], at: 4096)
                #expect(try await run("clone", "db@ready", "run1", of: server).output == "run1\n")
                #expect(
                    try await run("clone", "create", "db@ready", "run2", of: server).output
                        == "run2\n")
                _ = try await run("snapshot", "delete", "db@ready", of: server)
                let one = try RawClient(unix: server.socketPath)
                try one.enter("run1")
                try one.write([7], at: 4097)
                #expect(try one.read(at: 4096, count: 4) == [1, 7, 3, 4])
                let two = try RawClient(unix: server.socketPath)
                try two.enter("run2")
                #expect(try two.read(at: 4096, count: 4) == [1, 2, 3, 4])
                #expect(try client.read(at: 4096, count: 4) == [9, 9, 9, 9])

                let table = try await run("clone", "list", of: server).output
                #expect(table.contains("run1") && table.contains("db@ready"), "\(table)")
                let list = try await run("clone", "list", "--json", of: server).output
                for part in [
                    #""export":"run1""#, #""ownBytes":4096"#, #""ownBytes":0"#,
                    #""templateBytes":4096"#, #""sizeBytes":8388608"#,
                ] { #expect(list.contains(part), "\(list)") }

                let inUse = try await run("clone", "delete", "run1", of: server)
                #expect(inUse.status == .exited(69))
                #expect(inUse.errors.contains("1 clients use the clone run1"))
                #expect(
                    try await run("clone", "delete", "run1", "--force", of: server).status
                        == .exited(0))
                #expect(try one.read(at: 4096, count: 4) == [1, 7, 3, 4])

                _ = try await run("snapshot", "create", "run2@mine", of: server)
                let needed = try await run("clone", "delete", "run2", "--force", of: server)
                #expect(needed.status == .exited(69))
                #expect(needed.errors.contains("delete them first: run2@mine"), "\(needed)")

                // A new snapshot of an old name is not taken for the old one, whose clone is still there.
                for byte in 20..<24 as Range<UInt8> {
                    try client.write([byte], at: 4096)
                    _ = try await run("snapshot", "create", "db@ready", of: server)
                    _ = try await run("clone", "db@ready", "again\(byte)", of: server)
                    _ = try await run("snapshot", "delete", "db@ready", of: server)
                    let again = try RawClient(unix: server.socketPath)
                    try again.enter("again\(byte)")
                    #expect(try again.read(at: 4096, count: 1) == [byte])
                }
            }
        }

        @Test(
            "say what is wrong",
            arguments: [
                ("", "db", "there is an export db already"),
                ("", "a b", "\"a b\" is not a valid name for a clone"),
                ("nodisk", "x", "there is no disk \"nodisk\"; the disks are \"db\""),
                ("@nosnapshot", "x", "there is no snapshot db@nosnapshot"),
                ("db@nosnapshot", "x", "there is no snapshot db@nosnapshot"),
                ("a@b@snapshot", "x", "there is no disk \"a@b\""),
            ])
        func mistakes(source: String, name: String, sentence: String) async throws {
            try await withServer("--export", "db=4M") { server in
                let result = try await run("clone", "--", source, name, of: server)
                #expect(result.errors.contains(sentence), "\(result)")
            }
        }

        @Test("are refused by a server that locks its memory")
        func locked() async throws {
            try await withServer("--size", "4M", "--swap") { server in
                let result = try await run("clone", "", "x", of: server)
                #expect(result.status == .exited(69))
                #expect(result.errors.contains("this server locks its memory"), "\(result)")
            }
        }

        @Test("of a file: one for each connection, which is deleted with it")
        func perConnection() async throws {
            let directory = try TemporaryDirectory()
            try write([UInt8](repeating: 5, count: 10_000), to: directory.file("golden"))
            try await withServer(
                "--template", directory.file("golden"), "--clone-per-connection"
            ) { server in
                let first = try RawClient(unix: server.socketPath)
                try first.enter("")
                try first.write([1], at: 4096)
                let second = try RawClient(unix: server.socketPath)
                try second.enter("")
                #expect(try second.read(at: 4095, count: 3) == [5, 5, 5])
                #expect(try first.read(at: 4095, count: 3) == [5, 1, 5])
                // The file is rounded up to whole pages.
                #expect(try second.read(at: 9999, count: 2) == [5, 0])
                #expect(try await run("clone", "", "job", of: server).output == "job\n")
                let list = try await run("clone", "list", "--json", of: server).output
                #expect(list.contains(#""templateBytes":12288"#), "\(list)")
            }
        }

        @Test("of a file, for several exports, read it once")
        func several() async throws {
            let directory = try TemporaryDirectory()
            try write([UInt8](repeating: 5, count: 1 << 20), to: directory.file("golden"))
            try await withServer(
                "--template", directory.file("golden"), "--export", "a", "--export", "b"
            ) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("a")
                try client.write([1], at: 0)
                let other = try RawClient(unix: server.socketPath)
                try other.enter("b")
                #expect(try other.read(at: 0, count: 1) == [5])
            }
        }

        @Test(
            "of another server's snapshot have its contents and holes, and need that server no more"
        )
        func ofAnotherServer() async throws {
            let start = ServerStart(ending: .signalled(SIGKILL))
            try await withServer("--export", "db=64M", "--sparse", start: start) { origin in
                let client = try RawClient(unix: origin.socketPath)
                try client.enter("db")
                try client.write([1, 2, 3, 4], at: 4096)
                try client.write([8], at: (64 << 20) - 1)
                _ = try await run("snapshot", "create", "db@ready", of: origin)
                try client.write([9, 9, 9, 9], at: 4096)
                for template in ["db@ready", "@ready"] {
                    let options = ["--template", template, "--template-server", origin.controlPath]
                    try await withServer(options + ["--clone-per-connection"]) { server in
                        if template == "@ready" { try await origin.end(with: SIGKILL) }
                        let one = try RawClient(unix: server.socketPath)
                        #expect(try one.enter() == 64 << 20)
                        #expect(try one.read(at: 4095, count: 6) == [0, 1, 2, 3, 4, 0])
                        #expect(try one.read(at: (64 << 20) - 2, count: 2) == [0, 8])
                        try one.write([7], at: 4097)
                        let two = try RawClient(unix: server.socketPath)
                        try two.enter()
                        #expect(try two.read(at: 4096, count: 4) == [1, 2, 3, 4])
                        _ = try await run("clone", "", "job", of: server)
                        let list = try await run("clone", "list", "--json", of: server).output
                        #expect(list.contains(#""templateBytes":8192"#), "\(list)")
                    }
                }
            }
        }

        @Test("of another server's snapshot say what is wrong, and serve nothing")
        func otherServersMistakes() async throws {
            let directory = try TemporaryDirectory()
            try await withServer("--export", "db=4M") { origin in
                _ = try await run("snapshot", "create", "db@ready", of: origin)
                let none = directory.file("none")
                for (template, server, status, sentence) in [
                    (
                        "db@no", origin.controlPath, 69,
                        "there is no snapshot db@no; there are db@ready"
                    ),
                    (
                        "x@ready", origin.controlPath, 69,
                        "there is no disk \"x\"; the disks are \"db\""
                    ),
                    ("db@ready", none, 69, "there is no control socket at \(none)"),
                    (
                        "db@ready", "/etc/passwd", 64,
                        "is not a socket; give a server's control socket or pid with --template-server"
                    ),
                    ("db@", origin.controlPath, 64, "'db@'"),
                    ("./db@ready", origin.controlPath, 64, "--template DISK@SNAPSHOT"),
                ] as [(String, String, Int32, String)] {
                    let ending = try await Program.ramdiskNBD.run([
                        "serve", "--unix", directory.file("socket"), "--no-control", "--template",
                        template, "--template-server", server,
                    ])
                    #expect(ending.status == .exited(status), "\(ending)")
                    #expect(ending.errors.contains(sentence), "\(ending)")
                    #expect(!exists(directory.file("socket")))
                }
            }
        }

        private func write(_ bytes: [UInt8], to path: String) throws {
            try Data(bytes).write(to: URL(filePath: path))
        }

        /// Runs a command with arguments against a server.
        private func run(
            _ arguments: String..., of server: ServerProcess
        ) async throws -> Program.Ending {
            let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
            return try await Program.ramdiskNBD.run(
                arguments[..<end] + ["--control", server.controlPath] + arguments[end...])
        }
    }
}
