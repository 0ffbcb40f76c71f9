import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A sparse disk without memory left", .enabled(if: geteuid() == 0, "mounting needs root"))
    struct Exhaustion {
        /// The mount point of a file system of 4 MiB that only the server sees.
        private let mount: TemporaryDirectory

        init() throws { mount = try TemporaryDirectory() }

        private var start: ServerStart {
            ServerStart(
                shell: """
                    exec unshare --mount sh -c 'mount -t tmpfs -o size=4M,mode=700 none \(mount.path) \
                    && exec "$0" "$@"' "$@"
                    """)
        }
        private var options: [String] {
            ["--sparse", "--size", "16M", "--backing", "disk", "--backing-directory", mount.path]
        }

        @Test("replies that it is full, and keeps every acknowledged write")
        func full() async throws {
            try await withServer(options, start: start) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                let data = [UInt8](repeating: 5, count: 1 << 20)
                var errors: [UInt32] = []
                for turn in 0..<8 as Range<UInt64> {
                    try client.send(
                        RawClient.request(
                            .write, cookie: turn, offset: turn << 20, length: UInt32(data.count))
                            + data)
                    errors.append(try client.receiveReply().error)
                }
                #expect(errors.prefix(3) == [0, 0, 0])
                // NBD_ENOSPC
                #expect(errors.suffix(4) == [28, 28, 28, 28])
                let bytes = try client.read(at: 2 << 20, count: 1 << 20)
                #expect(bytes == data)
            }
        }

        @Test(
            "keeps the memory of a write that has begun, while other clients trim and fill the disk"
        )
        func begun() async throws {
            try await withServer(options, start: start) { server in
                let slow = try RawClient(unix: server.socketPath)
                try slow.enter()
                let data = [UInt8](repeating: 5, count: 64 << 10)
                try slow.send(
                    RawClient.request(.write, cookie: 9, offset: 0, length: UInt32(data.count))
                        + data.prefix(100))
                // The server's own view of its file system.
                let file = "/proc/\(server.pid)/root\(mount.path)/disk"
                try await eventually("memory is reserved") { taken(file) >= data.count }

                let other = try RawClient(unix: server.socketPath)
                try other.enter()
                try other.send(RawClient.request(.trim, offset: 0, length: 1 << 20))
                _ = try other.receiveReply()
                for block in 16..<256 as Range<UInt64> {
                    try other.send(
                        RawClient.request(.write, offset: block << 16, length: UInt32(data.count))
                            + data)
                    if try other.receiveReply().error != 0 { break }
                }
                try slow.send(Array(data.dropFirst(100)))
                let reply = try slow.receiveReply()
                #expect(reply == .init(error: 0, cookie: 9))
                let bytes = try other.read(at: 100, count: data.count - 100)
                #expect(bytes == Array(data.dropFirst(100)))
            }
        }

        /// Returns the bytes of memory that a file occupies. stat(2)
        private func taken(_ path: String) -> Int {
            var status = stat()
            return unsafe stat(path, &status) == 0 ? Int(status.st_blocks) * 512 : 0
        }

        @Test("survives clients that keep writing and trimming the same pages")
        func race() async throws {
            try await withServer(options, start: start) { server in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<4 as Range<UInt64> {
                        group.addTask { try work(number, server) }
                    }
                    try await group.waitForAll()
                }
                #expect(!server.hasEnded)
            }
        }

        /// Writes at random, in batches, or trims. Each request gets a reply, with an error or without.
        private func work(_ number: UInt64, _ server: ServerProcess) throws {
            let client = try RawClient(unix: server.socketPath)
            try client.enter()
            var random = number &* 0x9E37_79B9_7F4A_7C15 | 1
            let data = [UInt8](repeating: UInt8(number), count: 32 << 10)
            let end = ContinuousClock.now + .seconds(1)
            while ContinuousClock.now < end {
                var batch: [UInt8] = []
                for cookie in 0..<8 as Range<UInt64> {
                    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    let offset = (random >> 40) % 3840 * 4096
                    if number == 0 {
                        batch += RawClient.request(
                            .trim, cookie: cookie, offset: offset, length: 1 << 20)
                    } else {
                        batch += RawClient.request(
                            .write, cookie: cookie, offset: offset, length: UInt32(data.count))
                        batch += data
                    }
                }
                try client.send(batch)
                for _ in 0..<8 { _ = try client.receiveReply() }
            }
        }
    }
}
