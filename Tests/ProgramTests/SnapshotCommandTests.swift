internal import Harness
import Testing

extension ProgramSuite {
    @Suite("Snapshots of a running server") struct Snapshots {
        @Test("are taken, read as exports, listed, rolled back to and deleted")
        func life() async throws {
            try await withServer("--export", "db=8M", "--export", "web=4M") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("db")
                try client.write([1, 2, 3, 4], at: 4096)
                #expect(try await snapshot("create", "db@clean", of: server).output == "db@clean\n")
                try client.write([9, 9, 9, 9], at: 4096)
                let reader = try RawClient(unix: server.socketPath)
                try reader.enter("db@clean")
                #expect(try reader.read(at: 4096, count: 4) == [1, 2, 3, 4])
                let table = try await snapshot("list", of: server).output
                #expect(table.contains("db@clean") && table.contains("readable"))

                let inUse = try await snapshot("rollback", "db@clean", of: server)
                #expect(inUse.status == .exited(69))
                #expect(inUse.errors.contains("1 connections") && inUse.errors.contains("--force"))
                let readers = try await snapshot("delete", "db@clean", of: server)
                #expect(readers.status == .exited(69))
                #expect(readers.errors.contains("clients read the snapshot db@clean"))

                let forced = try await snapshot("rollback", "db@clean", "--force", of: server)
                #expect(forced.status == .exited(0))
                #expect(try client.read(at: 4096, count: 4) == [1, 2, 3, 4])
                #expect(
                    try await snapshot("delete", "db@clean", "--force", of: server).status
                        == .exited(0))
                // Its reader keeps it.
                #expect(try reader.read(at: 4096, count: 4) == [1, 2, 3, 4])
                #expect(
                    try await snapshot("list", of: server).output == "There are no snapshots.\n")
            }
        }

        @Test("are of the first disk if none is named, and are listed as JSON")
        func firstDisk() async throws {
            try await withServer("--size", "4M") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("")
                try client.write([1], at: 0)
                #expect(try metric("snapshots", of: server) == "0.0")
                #expect(try await snapshot("create", "one", of: server).output == "@one\n")
                #expect(try metric("snapshots", of: server) == "1.0")
                #expect(try metric("snapshots_lost", of: server) == "0.0")
                try client.write([2], at: 0)
                #expect(try metric("snapshot_preserved_bytes", of: server) != "0.0")
                let list = try await snapshot("list", "--json", of: server).output
                for part in [#""export":"@one""#, #""isLost":false"#, #""sizeBytes":4194304"#] {
                    #expect(list.contains(part), "\(list)")
                }
                #expect(try await snapshot("delete", "@one", of: server).status == .exited(0))
            }
        }

        @Test("say what is wrong with a name", arguments: ["a b", "", "-x", "nodisk@x", "ü"])
        func names(name: String) async throws {
            try await withServer("--size", "4M") { server in
                let result = try await snapshot("create", "--", name, of: server)
                #expect([.exited(64), .exited(69)].contains(result.status))
                #expect(result.errors.hasPrefix("ramdisk-nbd: error: "), "\(result.errors)")
            }
        }

        @Test("are lost when their memory is used up, which is logged, and the disk is unaffected")
        func lost() async throws {
            try await withServer("--size", "4M", "--snapshot-memory", "64K") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("")
                try client.write([UInt8](repeating: 1, count: 1 << 20), at: 0)
                _ = try await snapshot("create", "one", of: server)
                try client.write([UInt8](repeating: 2, count: 1 << 20), at: 0)
                try await eventually("the snapshot is lost") {
                    server.log.contains("a snapshot is lost")
                }
                #expect(try await snapshot("list", of: server).output.contains("lost"))
                let rollback = try await snapshot("rollback", "one", "--force", of: server)
                #expect(rollback.isOneSentence(naming: "is lost", "--snapshot-memory"))
                #expect(try client.read(at: 5000, count: 1) == [2])
                #expect(try metric("snapshots_lost", of: server) == "1.0")
            }
        }

        /// The value of a metric of the disk without a name.
        private func metric(_ name: String, of server: ServerProcess) throws -> String? {
            let start = "ramdisk_nbd_\(name){export=\"\"} "
            return try server.ask("/metrics").text.split(separator: "\n")
                .first { $0.hasPrefix(start) }.map { String($0.dropFirst(start.count)) }
        }

        /// Runs `snapshot` with arguments against a server.
        private func snapshot(
            _ arguments: String..., of server: ServerProcess
        ) async throws -> Program.Ending {
            try await Program.ramdiskNBD.run(
                ["snapshot", arguments[0], "--control", server.controlPath] + arguments.dropFirst())
        }
    }
}
