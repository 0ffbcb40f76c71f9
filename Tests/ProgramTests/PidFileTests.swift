import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("The pid file") struct PidFile {
        @Test(
            "contains the pid of the server while it serves, and is removed at its end",
            arguments: [SIGTERM, SIGINT])
        func content(signal: Int32) async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("pid")
            try await withServer("--pid-file", path) { server in
                #expect(text(of: path) == "\(server.pid)\n")
                try await server.end(with: signal)
            }
            #expect(!exists(path))
        }

        @Test("left behind by a server that was killed is replaced")
        func stale() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("pid")
            try Data("12345678901234567890\n".utf8).write(to: URL(filePath: path))
            try await withServer("--pid-file", path) { server in
                #expect(text(of: path) == "\(server.pid)\n")
            }
            #expect(!exists(path))
        }

        @Test(
            "neither follows a symbolic link nor replaces anything but a file",
            arguments: ["ln -s victim pid", "mkdir pid", "mkfifo pid"])
        func notFile(command: String) async throws {
            let directory = try TemporaryDirectory()
            let victim = directory.file("victim")
            try Data("precious".utf8).write(to: URL(filePath: victim))
            try await Program("sh", package: "dash")("-c", "cd '\(directory.path)' && \(command)")
            let ending = try await Program.ramdiskNBD.run(
                [
                    "serve", "--size", "4K", "--unix", directory.file("socket"), "--pid-file",
                    directory.file("pid"),
                ], within: .seconds(20))
            #expect(ending.status == .exited(73))
            #expect(ending.isOneSentence(naming: directory.file("pid"), "not a regular file"))
            #expect(text(of: victim) == "precious")
        }

        @Test("replaces the old file atomically")
        func replaced() async throws {
            let directory = try TemporaryDirectory()
            let (path, other) = (directory.file("pid"), directory.file("other"))
            try Data("4711\n".utf8).write(to: URL(filePath: path))
            // A hard link to the old file shows whether the server wrote into it.
            #expect(unsafe link(path, other) == 0)
            try await withServer("--pid-file", path) { server in
                #expect(text(of: path) == "\(server.pid)\n")
                #expect(text(of: other) == "4711\n")
                let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
                #expect(names.sorted() == ["other", "pid"])
            }
        }

        @Test(
            "that cannot be written is named, and the socket that was created before it is removed")
        func notWritable() async throws {
            let directory = try TemporaryDirectory()
            let ending = try await Program.ramdiskNBD.run(
                [
                    "serve", "--unix", directory.file("socket"), "--pid-file",
                    directory.file("nowhere/pid"),
                ])
            #expect(ending.status == .exited(73))
            #expect(ending.output.isEmpty)
            #expect(ending.isOneSentence(naming: directory.file("nowhere/pid")))
            #expect(!exists(directory.file("socket")))
        }

        @Test("is removed when a second signal ends the server at once")
        func secondSignal() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("pid")
            try await withServer(
                "--pid-file", path, start: .init(ending: .exited(128 + SIGTERM))
            ) { server in
                let stuck = try await StuckClient(server)
                server.signal(SIGTERM)
                try await eventually("it stops") { server.log.contains("stopping") }
                try await server.end(with: SIGTERM)
                stuck.leave()
            }
            #expect(!exists(path))
        }
    }
}
