import Foundation
import Glibc
internal import Harness
import Testing

extension ProgramSuite {
    @Suite("Checkpoints of a running server") struct Checkpoints {
        /// What `--json` prints of a checkpoint.
        private struct Status: Decodable, Equatable {
            var disk: String
            var name: String
            var state: String
            var base: String?
            var export: String?
            var bitmap: String?
            var createdUnixSeconds: Double
            var dirtyBytes: UInt64?
        }

        @Test("begin with everything, and then have what has changed since the committed one")
        func chain() async throws {
            try await withServer("--export", "db=8M", "--export", "web=4M") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("db")
                let first = try await create("db@one", of: server)
                #expect(first.export == "db@one" && first.bitmap == "qemu:dirty-bitmap:one")
                #expect(first.base == nil && first.dirtyBytes == 8 << 20)
                try client.write([1], at: 4096)
                try await checkpoint("commit", "db@one", of: server)

                let second = try await create("db@two", of: server)
                #expect(second.base == "one" && second.dirtyBytes == 4096)
                try client.write([2], at: 1 << 20)
                try await checkpoint("abort", "db@two", of: server)

                // The changes of the aborted one are merged.
                let third = try await create("db@three", of: server)
                #expect(third.base == "one" && third.dirtyBytes == 8192)
                try await checkpoint("commit", "db@three", of: server)
                let fourth = try await create("db@four", of: server)
                #expect(fourth.base == "three" && fourth.dirtyBytes == 0)
                try await checkpoint("abort", "db@four", of: server)

                let full = try await create("db@five", "--full", of: server)
                #expect(full.base == nil && full.dirtyBytes == 8 << 20)
                // Another disk has checkpoints of its own.
                let other = try await create("web@one", of: server)
                #expect(other.base == nil && other.disk == "web")
                let all = try await list(server)
                #expect(all.map(\.name) == ["three", "five", "one"])
                #expect(all.map(\.state) == ["committed", "open", "open"])
                let table = try await checkpoint("list", of: server).output
                #expect(table.contains("(everything)") && table.contains("web@one"), "\(table)")
            }
        }

        @Test("are read at their instant, also after the disk has changed and they have ended")
        func frozen() async throws {
            try await withServer("--size", "4M") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([1, 2, 3], at: 4096)
                #expect(try await checkpoint("create", "one", of: server).output == "@one\n")
                try client.write([9, 9, 9], at: 4096)
                let reader = try RawClient(unix: server.socketPath)
                try reader.enter("@one")
                #expect(try reader.read(at: 4096, count: 3) == [1, 2, 3])
                try await checkpoint("commit", "one", of: server)
                #expect(try reader.read(at: 4096, count: 3) == [1, 2, 3])
                let late = try await Program("nbdinfo", package: "libnbd-bin").run([
                    "--size", server.uri("@one"),
                ])
                #expect(!late.status.isSuccess)
            }
        }

        @Test("may be made, committed and aborted again, which changes nothing")
        func repeated() async throws {
            try await withServer("--size", "4M") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                let first = try await create("one", of: server)
                try client.write([1], at: 0)
                #expect(try await create("one", of: server) == first)
                try client.write([1], at: 8192)
                for _ in 0..<2 { try await checkpoint("commit", "one", of: server) }
                let second = try await create("two", of: server)
                #expect(second.dirtyBytes == 8192)
                for _ in 0..<2 { try await checkpoint("commit", "one", of: server) }
                #expect(try await create("two", of: server) == second)
                for _ in 0..<2 { try await checkpoint("abort", "two", of: server) }
                // The same name at another instant, since the first of that name is gone.
                #expect(try await create("two", of: server).createdUnixSeconds > 0)
                #expect(try await list(server).map(\.name) == ["one", "two"])
            }
        }

        @Test("say what cannot be done, and why")
        func refused() async throws {
            try await withServer("--size", "4M") { server in
                func refuse(_ arguments: String..., naming text: String) async throws {
                    let ending = try await run(arguments, server)
                    #expect(!ending.status.isSuccess)
                    #expect(ending.isOneSentence(naming: text), "\(ending.errors)")
                }
                try await refuse("commit", "one", naming: "the disk has none")
                try await refuse("abort", "one", naming: "the disk has none")
                try await refuse("create", "nodisk@one", naming: "no disk \"nodisk\"")
                try await refuse("create", "a b", naming: "not a valid name for a checkpoint")
                try await checkpoint("create", "one", of: server)
                try await refuse("create", "two", naming: "@one is open; commit or abort it before")
                try await refuse("commit", "two", naming: "the disk has @one")
                try await checkpoint("commit", "one", of: server)
                try await refuse("create", "one", naming: "committed already; give the next one")
                try await refuse("abort", "one", naming: "was committed already")
                try await checkpoint("create", "two", of: server)
                try await refuse("create", "two", "--full", naming: "not a full one")
                try await checkpoint("abort", "two", of: server)
                try await refuse("commit", "two", naming: "was aborted already")
                // The exports of snapshots and checkpoints have the same kind of name.
                let taken = try await Program.ramdiskNBD.run([
                    "snapshot", "create", "three", "--control", server.controlPath,
                ])
                #expect(taken.status.isSuccess)
                try await refuse("create", "three", naming: "two exports have the name \"@three\"")
                try await checkpoint("create", "four", of: server)
            }
        }

        @Test("are lost loudly when memory is used up, and the next one has all changes")
        func lost() async throws {
            try await withServer("--size", "4M", "--snapshot-memory", "64K") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([UInt8](repeating: 1, count: 1 << 20), at: 0)
                try await checkpoint("create", "one", of: server)
                try await checkpoint("commit", "one", of: server)
                try client.write([2], at: 2 << 20)
                try await checkpoint("create", "two", of: server)
                let reader = try RawClient(unix: server.socketPath)
                try reader.enter("@two")
                try client.write([UInt8](repeating: 3, count: 1 << 20), at: 0)
                try await eventually("the checkpoint is lost") {
                    server.log.contains("a checkpoint is lost")
                }
                // What was preserved before can still be read, but nothing behind it.
                #expect(throws: (any Error).self) { try reader.read(at: 1 << 19, count: 1) }
                #expect(try await list(server).map(\.state) == ["committed", "lost"])
                // Statistics and metrics, and so alerts, count it among the snapshots.
                let statistics = try await Program.ramdiskNBD.run(
                    ["stats", "--json", "--control", server.controlPath])
                #expect(statistics.output.contains(#""isLost":true"#), "\(statistics)")
                for arguments in [["commit", "two"], ["create", "two"], ["create", "three"]] {
                    let ending = try await run(arguments, server)
                    #expect(ending.isOneSentence(naming: "@two is lost", "abort it"))
                }
                try await checkpoint("abort", "two", of: server)
                let next = try await create("three", of: server)
                #expect(next.base == "one" && next.dirtyBytes == 1 << 20 + 4096)
            }
        }

        @Test(
            "of a backing: the committed one survives a killed server, and the open one was aborted"
        )
        func killedServer() async throws {
            let memory = try TemporaryDirectory(in: "/dev/shm")
            let options = [
                "--size", "4M", "--backing", "disk", "--backing-directory", memory.path,
            ]
            let killed = ServerStart(ending: .signalled(SIGKILL))
            try await withServer(options, start: killed) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try await checkpoint("create", "one", of: server)
                try await checkpoint("commit", "one", of: server)
                try client.write([1], at: 4096)
                try await checkpoint("create", "two", of: server)
                try client.write([1], at: 1 << 20)
                try await server.end(with: SIGKILL)
            }
            // Without a change, and with a server that keeps the disk when it stops.
            try await withServer(options, start: killed) { server in
                #expect(try await list(server).first?.dirtyBytes == 8192)
                try await server.end(with: SIGKILL)
            }
            try await withServer(options + ["--keep"]) { _ in }
            try await withServer(options) { server in
                #expect(server.log.contains("found a committed checkpoint"))
                let all = try await list(server)
                #expect(all.map(\.name) == ["one"] && all.map(\.state) == ["committed"])
                let commit = try await run(["commit", "two"], server)
                #expect(commit.isOneSentence(naming: "@two was aborted already"))
                for _ in 0..<2 { try await checkpoint("abort", "two", of: server) }
                try await checkpoint("commit", "one", of: server)
                let next = try await create("two", of: server)
                #expect(next.base == "one" && next.dirtyBytes == 8192)
                // The longest name that there is.
                let long = String(repeating: "n", count: 128)
                try await checkpoint("commit", "two", of: server)
                try await checkpoint("create", long, of: server)
            }
        }

        @Test("of a clone are deleted with it, so that nothing keeps its memory")
        func ofClone() async throws {
            try await withServer("--size", "4M") { server in
                for arguments in [["create", "", "copy"], ["delete", "copy"]] {
                    let ending = try await Program.ramdiskNBD.run(
                        ["clone"] + arguments + ["--control", server.controlPath])
                    #expect(ending.status.isSuccess, "\(ending.errors)")
                    guard arguments[0] == "create" else { continue }
                    try await checkpoint("create", "copy@one", of: server)
                    try await checkpoint("commit", "copy@one", of: server)
                    try await checkpoint("create", "copy@two", of: server)
                    #expect(try await list(server).count == 2)
                }
                #expect(try await list(server).isEmpty)
                let reader = try RawClient(unix: server.socketPath)
                #expect(throws: (any Error).self) { try reader.enter("copy@two") }
            }
        }

        // MARK: - Commands

        private func create(
            _ name: String, _ options: String..., of server: ServerProcess
        ) async throws -> Status {
            let ending = try await run(["create", name] + options + ["--json"], server)
            #expect(ending.status.isSuccess, "\(ending.errors)")
            return try JSONDecoder().decode(Status.self, from: Data(ending.output.utf8))
        }

        private func list(_ server: ServerProcess) async throws -> [Status] {
            let output = try await checkpoint("list", "--json", of: server).output
            return try JSONDecoder().decode([Status].self, from: Data(output.utf8))
        }

        /// Runs `checkpoint` with arguments against a server, and expects success.
        @discardableResult
        private func checkpoint(
            _ arguments: String..., of server: ServerProcess
        ) async throws -> Program.Ending {
            let ending = try await run(arguments, server)
            #expect(ending.status.isSuccess, "\(arguments): \(ending.errors)")
            return ending
        }

        private func run(
            _ arguments: [String], _ server: ServerProcess
        ) async throws -> Program.Ending {
            try await Program.ramdiskNBD.run(
                ["checkpoint"] + arguments + ["--control", server.controlPath])
        }
    }
}
