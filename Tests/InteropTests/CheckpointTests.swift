import Foundation
import Harness
import Testing

extension Interop {
    @Suite("Checkpoints") struct Checkpoints {
        private let nbdinfo = Program("nbdinfo", package: "libnbd-bin")
        private let nbdcopy = Program("nbdcopy", package: "libnbd-bin")
        private let qemuImg = Program("qemu-img", package: "qemu-utils")
        private let qemuIO = Program("qemu-io", package: "qemu-utils")
        private let fio = Program("fio", package: "fio")
        private let pullChanges = Program(
            URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../contrib/backup/pull-changes").standardized.path,
            package: "python3-libnbd")

        /// A run of bytes that are all dirty, or all clean.
        private struct Run: Equatable {
            var start: UInt64
            var length: UInt64
            var isDirty: Bool
        }

        private static let size: UInt64 = 8 << 20
        private static let changed = [
            Run(start: 0, length: 64 << 10, isDirty: false),
            Run(start: 64 << 10, length: 4 << 10, isDirty: true),
            Run(start: 68 << 10, length: 956 << 10, isDirty: false),
            Run(start: 1 << 20, length: 1 << 20, isDirty: true),
            Run(start: 2 << 20, length: 6 << 20, isDirty: false),
        ]

        @Test("have dirty bitmaps that nbdinfo and qemu-img map, exact to the page")
        func bitmaps() async throws {
            try await withServer("--size", "8M") { server in
                try await checkpoint("create", "one", of: server)
                let all = [Run(start: 0, length: Self.size, isDirty: true)]
                #expect(try await libnbdMap("one", server) == all)
                #expect(try await qemuMap("one", server) == all)
                try await checkpoint("commit", "one", of: server)
                // Written with what is there already, in part, and trimmed.
                try await qemuIO(
                    "-f", "raw", "-d", "unmap", "-c", "write -P 0 65k 512", "-c",
                    "write -P 6 1M 1M", "-c", "discard 1536k 512k", server.uri)
                try await checkpoint("create", "two", of: server)
                try await qemuIO("-f", "raw", "-c", "write -P 7 0 8M", server.uri)
                #expect(try await libnbdMap("two", server) == Self.changed)
                #expect(try await qemuMap("two", server) == Self.changed)
                let said = try await nbdinfo(server.uri("@two"))
                for context in [
                    "base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:two",
                ] {
                    #expect(said.contains(context), "\(said)")
                }
            }
        }

        @Test("report three contexts at once, each by its own extents")
        func three() async throws {
            try await withServer("--size", "1M") { server in
                try await checkpoint("create", "one", of: server)
                try await checkpoint("commit", "one", of: server)
                try await qemuIO(
                    "-f", "raw", "-d", "unmap", "-c", "write -P 6 64k 8k", "-c",
                    "discard 68k 4k", server.uri)
                try await checkpoint("create", "two", of: server)
                let said = try await nbdsh(
                    server.uri("@two"),
                    """
                    h = nbd.NBD()
                    for name in ("qemu:dirty-bitmap:two", "base:allocation", "qemu:allocation-depth"):
                        h.add_meta_context(name)
                    h.connect_uri(sys.argv[1])
                    h.block_status(size, 0, lambda name, start, entries, error: print(name, entries))
                    """)
                #expect(
                    said == """
                        base:allocation [65536, 3, 4096, 0, 978944, 3]
                        qemu:allocation-depth [65536, 0, 4096, 1, 978944, 0]
                        qemu:dirty-bitmap:two [65536, 0, 8192, 1, 974848, 0]

                        """)
            }
        }

        @Test(
            "rebuild an image, full and in ten increments, that equals each one while fio writes",
            arguments: ["", "--sparse"])
        func increments(kind: String) async throws {
            let options = ["--size", "32M"] + (kind.isEmpty ? [] : [kind])
            try await withServer(options) { server in
                let fill = try server.directory.randomFile(bytes: 16 << 20)
                try await nbdcopy(fill, server.uri)
                let clients = server.log.count(of: "serving a client")
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await write(to: server, trims: !kind.isEmpty) }
                    defer { group.cancelAll() }
                    try await eventually("fio writes") {
                        // One to look at the disk, one to work.
                        server.log.count(of: "serving a client") >= clients + 2
                    }
                    for round in 0...10 { try await backUp(round, server) }
                }
            }
        }

        /// libnbd's module with a server that agrees to the bitmap alone.
        private static let bitmapAlone = """
            class NBD:
                def __getattr__(self, name):
                    return lambda *arguments: None
                def get_size(self):
                    return 4096
                def opt_list_meta_context(self, found):
                    found("qemu:dirty-bitmap:one")
                def block_status(self, count, offset, found):
                    found("qemu:dirty-bitmap:one", offset, [count, 1], 0)
            """

        @Test("are not copied, and not waited for, from a server that does not report allocation")
        func noAllocation() async throws {
            let directory = try TemporaryDirectory()
            try Self.bitmapAlone.write(
                toFile: directory.file("nbd.py"), atomically: false, encoding: .utf8)
            let ending = try await Program("env", package: "coreutils").run(
                [
                    "PYTHONPATH=\(directory.path)", pullChanges.name, "nbd://localhost/@one",
                    directory.file("image"),
                ], within: .seconds(20))
            #expect(ending.status == .exited(1))
            #expect(ending.errors.contains("does not report base:allocation"))
            #expect(!FileManager.default.fileExists(atPath: directory.file("image")))
        }

        /// Writes until it is cancelled.
        private func write(to server: ServerProcess, trims: Bool) async throws {
            _ = try await fio.run(
                [
                    "--name=writer", "--ioengine=nbd", "--uri=\(server.uri)", "--size=32M",
                    "--rw=\(trims ? "randtrimwrite" : "randwrite")", "--bs=4k", "--iodepth=16",
                    "--rate_iops=300", "--time_based", "--runtime=100", "--randrepeat=0",
                ], within: .seconds(110))
        }

        private func backUp(_ round: Int, _ server: ServerProcess) async throws {
            let image = server.directory.file("image")
            let copy = server.directory.file("copy")
            let name = "round-\(round)"
            // A backup that failed comes before some of the increments.
            if round % 3 == 2 {
                try await checkpoint("create", "failed-\(round)", of: server)
                try await checkpoint("abort", "failed-\(round)", of: server)
            }
            try await checkpoint("create", name, of: server)
            let said = try await pullChanges(server.uri("@\(name)"), image)
            try await nbdcopy(server.uri("@\(name)"), copy)
            #expect(try sameBytes(image, copy), "round \(round): \(said)")
            let dirty = try #require(
                said.split(separator: " ").dropFirst().first.flatMap { Int($0) })
            #expect(round == 0 ? dirty == 32 << 20 : (1..<32 << 20).contains(dirty))
            try await checkpoint("commit", name, of: server)
        }

        // MARK: - Programs

        private func checkpoint(
            _ command: String, _ name: String, of server: ServerProcess
        ) async throws {
            try await Program.ramdiskNBD(
                "checkpoint", command, name, "--control", server.controlPath)
        }

        private func libnbdMap(_ name: String, _ server: ServerProcess) async throws -> [Run] {
            struct Extent: Decodable {
                var offset: UInt64
                var length: UInt64
                var type: UInt32
            }
            let said = try await nbdinfo(
                "--map=qemu:dirty-bitmap:\(name)", "--json", server.uri("@\(name)"))
            return try JSONDecoder().decode([Extent].self, from: Data(said.utf8)).map {
                // Bit 0 and nothing else.
                #expect($0.type <= 1)
                return Run(start: $0.offset, length: $0.length, isDirty: $0.type == 1)
            }
        }

        /// QEMU takes a dirty bitmap in place of base:allocation, so what is dirty is a hole to it.
        private func qemuMap(_ name: String, _ server: ServerProcess) async throws -> [Run] {
            struct Extent: Decodable {
                var start: UInt64
                var length: UInt64
                var data: Bool
            }
            let said = try await qemuImg(
                "map", "--output=json", "--image-opts",
                "driver=nbd,server.type=unix,server.path=\(server.socketPath),export=@\(name),"
                    + "x-dirty-bitmap=qemu:dirty-bitmap:\(name)")
            return try JSONDecoder().decode([Extent].self, from: Data(said.utf8)).map {
                Run(start: $0.start, length: $0.length, isDirty: !$0.data)
            }
        }
    }
}
