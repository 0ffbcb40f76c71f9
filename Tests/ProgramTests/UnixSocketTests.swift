import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A Unix socket") struct UnixSocket {
        private let program = Program.ramdiskNBD

        @Test("exists while the server runs, and is removed at its end")
        func removed() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("socket")
            try await withServer("--unix", path, start: .init(.asTold)) { server in
                #expect(server.readyLines == ["nbd+unix:///?socket=\(path)"])
                try RawClient(unix: path).enter()
            }
            #expect(!exists(path))
        }

        @Test("left behind by a server that was killed is replaced")
        func stale() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("socket")
            try await withServer(
                "--unix", path, start: .init(.asTold, ending: .signalled(SIGKILL))
            ) { server in
                try await server.end(with: SIGKILL)
            }
            #expect(exists(path))
            try await withServer("--unix", path, start: .init(.asTold)) { _ in
                try RawClient(unix: path).enter()
            }
            #expect(!exists(path))
        }

        @Test("on which a server listens is rejected, and that server is not disturbed")
        func live() async throws {
            try await withServer { server in
                let ending = try await program.run(
                    ["serve", "--unix", server.socketPath])
                #expect(ending.status == .exited(69))
                #expect(ending.isOneSentence(naming: server.socketPath))
                try RawClient(unix: server.socketPath).enter()
            }
        }

        @Test("does not replace a file that is not a socket")
        func regularFile() async throws {
            let directory = try TemporaryDirectory()
            let path = try directory.randomFile("precious", bytes: 100)
            let before = try Data(contentsOf: URL(filePath: path))
            let ending = try await program.run(["serve", "--unix", path])
            #expect(ending.status == .exited(69))
            #expect(ending.isOneSentence(naming: path))
            let after = try Data(contentsOf: URL(filePath: path))
            #expect(after == before)
        }

        @Test("that another server has created in its place stays")
        func replaced() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("socket")
            try await withServer("--unix", path, "--size", "1M", start: .init(.asTold)) { first in
                unsafe unlink(path)
                try await withServer("--unix", path, "--size", "2M", start: .init(.asTold)) { _ in
                    try await first.end(with: SIGTERM)
                    let size = try RawClient(unix: path).enter()
                    #expect(size == 2 << 20)
                }
            }
            #expect(!exists(path))
        }

        @Test("can have the longest path that the kernel accepts")
        func longestPath() async throws {
            let directory = try TemporaryDirectory()
            let stem = directory.file("")
            let path = stem + String(repeating: "x", count: 107 - stem.utf8.count)
            try await withServer("--unix", path, start: .init(.asTold)) { _ in
                try RawClient(unix: path).enter()
            }
        }

        @Test("in a directory that does not exist is named")
        func noDirectory() async throws {
            let ending = try await program.run(
                ["serve", "--unix", "/nowhere/socket"])
            #expect(ending.status == .exited(69))
            #expect(ending.isOneSentence(naming: "/nowhere/socket"))
        }

        @Test("in a directory that the user cannot write to is named")
        func notPermitted() async throws {
            let directory = try TemporaryDirectory()
            unsafe chmod(directory.path, 0o555)
            defer { unsafe chmod(directory.path, 0o755) }
            let path = directory.file("socket")
            let ending = try await program.run(
                ["serve", "--size", "4K", "--unix", path], as: .unprivileged)
            #expect(ending.status == .exited(77))
            #expect(ending.lastLine.contains(path))
            #expect(ending.lastLine.contains("permission denied"))
        }

        @Test("is removed when the server cannot open a later address")
        func unwound() async throws {
            let directory = try TemporaryDirectory()
            let first = directory.file("first")
            let second = try directory.randomFile("second", bytes: 10)
            let ending = try await program.run(
                [
                    "serve", "--unix", first, "--unix", second, "--pid-file",
                    directory.file("pid"),
                ])
            #expect(ending.status == .exited(69))
            #expect(!exists(first))
            #expect(exists(second))
            #expect(!exists(directory.file("pid")))
        }
    }
}
