// The pid file: there while the server is ready, gone after.

import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("The pid file") struct PidFile {
        @Test(
            "has the process's number while it serves, and is gone after",
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

        @Test("that cannot be written is named, and the socket that was made before is gone")
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

        @Test("is gone when a second signal has ended the server at once")
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
