import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A backing") struct Backing {
        /// In a tmpfs; removed at the end of the test.
        let memory: TemporaryDirectory

        init() throws { memory = try TemporaryDirectory(in: "/dev/shm") }

        private var options: [String] { ["--backing", "disk", "--backing-directory", memory.path] }
        private let killed = ServerStart(ending: .signalled(SIGKILL))
        private static let data = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }

        @Test("keeps every acknowledged write when its server is killed", arguments: [false, true])
        func killedServer(isSparse: Bool) async throws {
            let kind = isSparse ? ["--sparse"] : []
            for turn in 0..<3 as Range<UInt64> {
                try await withServer(options + kind + ["--size", "64M"], start: killed) { server in
                    let client = try RawClient(unix: server.socketPath)
                    try client.enter()
                    for earlier in 0..<turn {
                        let bytes = try client.read(at: earlier << 24 + 999, count: 100_000)
                        #expect(bytes == Self.data)
                    }
                    try client.write(Self.data, at: turn << 24 + 999)
                    try await server.end(with: SIGKILL)
                }
            }
            // Without a size, and of the other kind.
            try await withServer(options + (isSparse ? [] : ["--sparse"])) { server in
                let client = try RawClient(unix: server.socketPath)
                let size = try client.enter()
                #expect(size == 64 << 20)
                let bytes = try client.read(at: 1 << 24 + 999, count: 100_000)
                #expect(bytes == Self.data)
                let rest = try client.read(at: 3 << 24, count: 1 << 20)
                #expect(rest == [UInt8](repeating: 0, count: 1 << 20))
                #expect(server.log.contains("was killed or crashed"))
            }
        }

        @Test("is removed when its server is stopped", arguments: [SIGTERM, SIGINT])
        func stopped(signal: Int32) async throws {
            try await withServer(options) { server in
                #expect(exists(memory.file("disk")))
                try await server.end(with: signal)
            }
            #expect(!exists(memory.file("disk")))
        }

        @Test("stays with --keep, and the next server logs that the last one stopped gracefully")
        func kept() async throws {
            try await withServer(options + ["--keep"]) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write(Self.data, at: 4096)
            }
            #expect(exists(memory.file("disk")))
            try await withServer(options) { server in
                #expect(server.log.contains("found a kept disk"))
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                let bytes = try client.read(at: 4096, count: Self.data.count)
                #expect(bytes == Self.data)
            }
            #expect(!exists(memory.file("disk")))
        }

        @Test("has one server at a time; the error of another one names it")
        func oneAtATime() async throws {
            try await withServer(options) { server in
                let ending = try await refused(options)
                #expect(ending.status == .exited(69))
                #expect(ending.isOneSentence(naming: "in use", "\(server.pid)", "disk"))
            }
        }

        @Test("that a server opens and cannot serve stays unchanged")
        func failingStart() async throws {
            try await withServer(options + ["--keep"]) { _ in }
            let ending = try await refused(options + ["--pid-file", "/there/is/none"])
            #expect(ending.status == .exited(73))
            try await withServer(options) { server in
                #expect(server.log.contains("found a kept disk"))
            }
            _ = try await refused(options + ["--pid-file", "/there/is/none"])
            #expect(!exists(memory.file("disk")))
        }

        @Test("that already existed stays when the command of `run` cannot be started")
        func failingCommand() async throws {
            try await withServer(options + ["--keep"]) { _ in }
            let ending = try await Program.ramdiskNBD.run(
                ["run"] + options + ["--", "no-such-command"])
            #expect(ending.status == .exited(127))
            #expect(exists(memory.file("disk")))
        }

        @Test("that is damaged is rejected, and not changed", arguments: Damage.all)
        func damaged(damage: Damage) async throws {
            try await withServer(options + ["--keep", "--sparse"]) { _ in }
            let path = memory.file("disk")
            try damage.inflict(on: path)
            let before = try await Program("sha256sum", package: "coreutils")(path)
            let ending = try await refused(options + damage.options)
            #expect(ending.status == .exited(66))
            #expect(ending.isOneSentence(naming: path, damage.named), "\(ending.errors)")
            let after = try await Program("sha256sum", package: "coreutils")(path)
            #expect(before == after)
        }

        @Test(
            "must be a regular file", arguments: ["mkdir", "mkfifo", "ln -s /dev/zero"])
        func noFile(command: String) async throws {
            let path = memory.file("disk")
            let shell = Program("sh", package: "dash")
            try await shell("-c", "\(command) \(path)")
            let ending = try await refused(options)
            #expect(ending.status == .exited(66))
            #expect(ending.isOneSentence(naming: path, "not a regular file"))
        }

        @Test("is not created in a file system that is not in memory")
        func noMemory() async throws {
            let directory = try TemporaryDirectory(in: "/var/tmp")
            let ending = try await refused(
                ["--backing", "disk", "--backing-directory", directory.path])
            #expect(ending.status == .exited(66))
            #expect(ending.isOneSentence(naming: directory.path, "not in memory"))
        }

        @Test("is not created in a directory that other users can write to")
        func foreignDirectory() async throws {
            #expect(unsafe chmod(memory.path, 0o777) == 0)
            let ending = try await refused(options)
            #expect(ending.status == .exited(77))
            #expect(ending.isOneSentence(naming: memory.path))
        }

        @Test("of each of two disks has a name of its own")
        func twoDisks() async throws {
            let exports = ["--export", "one=1M", "--export", "two=2M", "--keep"]
            try await withServer(options + exports) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("two")
                try client.write(Self.data, at: 0)
            }
            #expect(exists(memory.file("disk-one")) && exists(memory.file("disk-two")))
            try await withServer(options + exports) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("two")
                let bytes = try client.read(at: 0, count: Self.data.count)
                #expect(bytes == Self.data)
            }
        }

        @Test("that already exists is not overwritten by --load")
        func load() async throws {
            let image = try memory.randomFile("image", bytes: 1 << 20)
            let loading = options + ["--size", "2M", "--load", image, "--keep"]
            try await withServer(loading) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write(Self.data, at: 0)
            }
            try await withServer(loading) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                let bytes = try client.read(at: 0, count: Self.data.count)
                #expect(bytes == Self.data)
            }
        }

        @Test("for which there is no memory is reported at the start, and leaves nothing")
        func exhausted() async throws {
            let ending = try await refused(options + ["--size", "100T"])
            #expect(ending.status == .exited(71))
            #expect(ending.isOneSentence(naming: "not enough memory"))
            #expect(!exists(memory.file("disk")))
        }

        private func refused(_ options: [String]) async throws -> Program.Ending {
            try await Program.ramdiskNBD.run(
                ["serve", "--unix", memory.file("other.sock")] + options)
        }
    }
}

/// Damage to a backing's file, or options that do not match it, and words of the error.
struct Damage: Sendable, CustomTestStringConvertible {
    let testDescription: String
    var bytes: [UInt8] = []
    var offset = 0
    /// Bytes more than it had, or less.
    var growth = 0
    var options: [String] = []
    let named: String

    func inflict(on path: String) throws {
        let file = unsafe open(path, O_RDWR)
        defer { close(file) }
        var status = stat()
        guard unsafe fstat(file, &status) == 0,
            ftruncate(file, status.st_size + growth) == 0,
            unsafe pwrite(file, bytes, bytes.count, offset) == bytes.count
        else { throw TestError("cannot damage \(path): errno \(errno)") }
    }

    static let all = [
        Damage(testDescription: "magic", bytes: [0], named: "damaged"),
        Damage(testDescription: "version", bytes: [4], offset: 8, named: "version 4"),
        Damage(testDescription: "size", bytes: [1], offset: 20, named: "damaged"),
        Damage(testDescription: "checksum", bytes: [1, 2, 3], offset: 41, named: "damaged"),
        Damage(testDescription: "names of checkpoints", bytes: [1], offset: 72, named: "damaged"),
        Damage(
            testDescription: "all of it", bytes: [UInt8](repeating: 0xff, count: 4096),
            named: "damaged"),
        Damage(testDescription: "truncated", growth: -4096, named: "44036096 bytes"),
        Damage(testDescription: "longer", growth: 1, named: "44040193 bytes"),
        Damage(testDescription: "header cut", growth: 20 - 44_040_192, named: "damaged"),
        Damage(testDescription: "nothing left", growth: -44_040_192, named: "damaged"),
        Damage(testDescription: "size asked", options: ["--size", "8M"], named: "41943040 bytes"),
    ]
}
