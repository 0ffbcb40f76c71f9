import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A disk with an image") struct Images {
        private let directory: TemporaryDirectory
        private let image: String
        private let nbdcopy = Program("nbdcopy", package: "libnbd-bin")

        init() throws {
            directory = try TemporaryDirectory()
            image = directory.file("disk.img")
        }

        // MARK: - Start and stop

        @Test("is saved when its server stops, and restored at the next start, with its size")
        func stopAndStart() async throws {
            let data = try directory.randomFile(bytes: 6 << 20)
            try await withServer("--size", "6M", "--image", image) { server in
                #expect(server.log.contains("there is no image yet"))
                try await nbdcopy(data, server.uri)
                #expect(!exists(image))
            }
            #expect(try sameBytes(image, data))
            #expect(exists(image + ".state"))
            for suffix in [".new", ".state.new", ".journal"] { #expect(!exists(image + suffix)) }
            try await withServer("--image", image) { server in
                #expect(try RawClient(unix: server.socketPath).enter() == 6 << 20)
                #expect(server.log.contains("restored the disk"))
                try await expectDisk(of: server, toEqual: data)
            }
            #expect(try sameBytes(image, data))
            try await withServer("--image", image, "--size", "8M") { server in
                let client = try RawClient(unix: server.socketPath)
                #expect(try client.enter() == 8 << 20)
                try client.write([7], at: 8 << 20 - 1)
            }
            let larger = try Data(contentsOf: URL(filePath: image))
            #expect(larger.count == 8 << 20 && larger.last == 7)
            #expect(try larger.prefix(6 << 20) == Data(contentsOf: URL(filePath: data)))
        }

        @Test("may begin as a file of another program, whose size is not a whole number of pages")
        func foreign() async throws {
            let data = try directory.randomFile("disk.img", bytes: 5_000_001)
            let before = try Data(contentsOf: URL(filePath: data))
            try await withServer("--image", image) { server in
                let client = try RawClient(unix: server.socketPath)
                #expect(try client.enter() == 5_001_216)
                #expect(try saves(of: server)[0].generation == 0)
                #expect(try client.read(at: 0, count: 5_000_001) == Array(before))
                #expect(try client.read(at: 5_000_001, count: 1215).allSatisfy { $0 == 0 })
            }
            let after = try Data(contentsOf: URL(filePath: image))
            #expect(after.count == 5_001_216)
            #expect(after.prefix(before.count) == before)
        }

        @Test("lasts as long as a command that `run` runs, and is saved after it")
        func command() async throws {
            let data = try directory.randomFile(bytes: 3 << 20)
            let run = ["run", "--size", "3M", "--image", image, "--", "sh", "-c"]
            let program = Program.ramdiskNBD
            let ending = try await program.run(run + ["nbdcopy \(data) \"$uri\"; exit 7"])
            #expect(ending.status == .exited(7))
            #expect(try sameBytes(image, data))
            try await program(run + ["nbdcopy \"$uri\" \(directory.file("copy"))"])
            #expect(try sameBytes(directory.file("copy"), data))
        }

        @Test("is as it was saved last at an interval when its server is killed")
        func interval() async throws {
            let killed = ServerStart(ending: .signalled(SIGKILL))
            let options = ["--size", "4M", "--image", image, "--save-every", "1s"]
            let data = [UInt8](repeating: 5, count: 100_000)
            try await withServer(options, start: killed) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write(data, at: 12_345)
                try await eventually("it is saved") {
                    let saved = try saves(of: server)[0]
                    return saved.saves > 0 && saved.dirtyBytes == 0
                }
                try await server.end(with: SIGKILL)
            }
            try await withServer("--image", image) { server in
                let client = try RawClient(unix: server.socketPath)
                #expect(try client.enter() == 4 << 20)
                #expect(try client.read(at: 12_345, count: data.count) == data)
                #expect(try client.read(at: 12_344, count: 1) == [0])
            }
        }

        // MARK: - Tools

        @Test("is saved as a raw file that QEMU's and libnbd's programs read, with holes")
        func tools() async throws {
            try await withServer("--size", "16M", "--image", image) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([UInt8](repeating: 9, count: 1 << 20), at: 3 << 20)
                #expect(try await save(of: server).status == .exited(0))
                try await Program("qemu-img", package: "qemu-utils")(
                    "compare", "-s", "-f", "raw", "-F", "raw", image, server.uri)
                try await nbdcopy(image, directory.file("copy"))
                try await expectDisk(of: server, toEqual: directory.file("copy"))
                let blocks = try await Program("stat", package: "coreutils")("-c", "%b", image)
                // The file system may need some for itself.
                #expect(try #require(Int(blocks.dropLast())) * 512 <= 2 << 20)
            }
        }

        // MARK: - Command

        @Test("is saved by a command, which says what it has written: only what has changed")
        func changes() async throws {
            try await withServer("--size", "4M", "--image", image) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([UInt8](repeating: 1, count: 1 << 20), at: 1 << 20)
                let first = try await save(of: server)
                #expect(
                    first.output.wholeMatch(of: /saved to (.*): wrote 1(?:\.0*)? MiB in .*\n/)?.1
                        == Substring(image), "\(first)")
                try client.write([2, 2], at: 1 << 20 + 8191)
                #expect(try saves(of: server)[0].dirtyBytes == 8192)
                let second = try await saved(of: server)
                #expect(second.image == image && second.export == "")
                #expect(second.generation == 2 && second.saves == 2 && second.failures == 0)
                #expect(second.writtenBytes == 8192 && second.dirtyBytes == 0)
                let unchanged = try await saved(of: server)
                #expect(unchanged.generation == 2 && unchanged.writtenBytes == 0)
                try await expectDisk(of: server, toEqual: image)
            }
        }

        @Test("is saved to another file too, of any disk and at a relative path")
        func elsewhere() async throws {
            try await withServer("--export", "a=1M", "--export", "b=2M") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("b")
                try client.write([3, 3, 3], at: 5000)
                let result = try await Program("sh", package: "dash")(
                    "-c", #"cd "$1" && "$2" save b.img --disk b --json --control "$3""#, "sh",
                    directory.path, Program.ramdiskNBD.name, server.controlPath)
                let stats = try JSONDecoder().decode(Saved.self, from: Data(result.utf8))
                #expect(stats.image == directory.file("b.img") && stats.export == "b")
                #expect(stats.generation == 1 && stats.writtenBytes == 4096)
                try await nbdcopy(server.uri("b"), directory.file("copy"))
                #expect(try sameBytes(directory.file("copy"), directory.file("b.img")))
                #expect(try server.ask("/saves").text == "[]\n")

                let none = try await save(of: server)
                #expect(none.status == .exited(64))
                #expect(none.isOneSentence(naming: "\"a\" has no image", "--image"))
                let stranger = try await save("--disk", "c", directory.file("c.img"), of: server)
                #expect(stranger.status == .exited(69))
                #expect(stranger.isOneSentence(naming: "c"), "\(stranger)")
                #expect(!exists(directory.file("c.img")))
            }
        }

        @Test("is saved as before when a command saves it elsewhere, or names its image")
        func copies() async throws {
            try await withServer("--size", "1M", "--image", image) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([4], at: 0)
                #expect(try await saved(directory.file("copy"), of: server).generation == 1)
                let stats = try saves(of: server)[0]
                #expect(stats.saves == 0 && stats.dirtyBytes == 4096 && !exists(image))
                #expect(try await saved(image, of: server).saves == 1)
                #expect(try sameBytes(image, directory.file("copy")))
            }
        }

        // MARK: - Errors

        @Test("is refused while another server has it, and by a save of another server")
        func inUse() async throws {
            try await withServer("--size", "1M", "--image", image) { server in
                try await expectNoStart(69, naming: "\(image) is in use", "pid \(server.pid)")
                #expect(server.log.contains("there is no image yet"))
                try await withServer("--size", "2M") { other in
                    let ending = try await save(image, of: other)
                    #expect(ending.status == .exited(69))
                    #expect(ending.isOneSentence(naming: "\(image) is in use", "\(server.pid)"))
                }
                #expect(!exists(image))
            }
            #expect(try Data(contentsOf: URL(filePath: image)).count == 1 << 20)
        }

        @Test("is refused when it is damaged, missing or too large, and is left as it is")
        func damaged() async throws {
            let data = try directory.randomFile(bytes: 2 << 20)
            try await withServer("--size", "2M", "--image", image) { server in
                try await nbdcopy(data, server.uri)
            }
            try await expectNoStart(66, "--size", "1M", naming: image, "does not fit")

            let intact = try Data(contentsOf: URL(filePath: image))
            var damaged = intact
            damaged[1_234_567] ^= 1
            // Another inode, so that nothing but the contents can tell.
            try damaged.write(to: URL(filePath: image))
            try await expectNoStart(
                66, naming: "\(image) is not as it was saved", "offset 1048576")
            #expect(try Data(contentsOf: URL(filePath: image)) == damaged)

            try intact.dropLast().write(to: URL(filePath: image))
            try await expectNoStart(66, naming: "\(image) has 2097151 bytes")
            try FileManager.default.removeItem(atPath: image)
            try await expectNoStart(66, naming: "\(image) is missing", "\(image).state")
            try intact.write(to: URL(filePath: image))
            try await withServer("--image", image) { server in
                try await expectDisk(of: server, toEqual: data)
            }

            var state = try Data(contentsOf: URL(filePath: image + ".state"))
            state[state.count / 2] ^= 1
            try state.write(to: URL(filePath: image + ".state"))
            try await expectNoStart(66, naming: "\(image).state is damaged")
        }

        @Test("is refused where no file can be")
        func places() async throws {
            try await expectNoStart(66, at: directory.path, naming: "\(directory.path) is a dir")
            let missing = directory.file("missing")
            try await expectNoStart(
                66, at: missing + "/disk.img", naming: "no directory \(missing)")
            #expect(!exists(missing))
            try await expectNoStart(66, at: "/dev/null", naming: "/dev/null is a device")
            #expect(unsafe chmod(directory.path, 0o555) == 0)
            defer { unsafe chmod(directory.path, 0o755) }
            try await expectNoStart(
                66, as: .unprivileged, naming: image, "a directory that this user may write to")
        }

        @Test(
            "stays in memory while its file system is full, and is saved when there is room",
            .enabled(if: geteuid() == 0, "mounting needs root"))
        func full() async throws {
            let data = try directory.randomFile(bytes: 6 << 20)
            // Keeps the file system after the server's end, which is the end of its namespace.
            let files = try await withServer(smallOptions, start: onSmallFileSystem()) { server in
                let files = try OpenDirectory("/proc/\(server.pid)/root\(small)")
                try await nbdcopy(data, server.uri)
                let ending = try await save(of: server)
                #expect(ending.status == .exited(74))
                #expect(ending.isOneSentence(naming: "\(small)/disk.img", "free space"))
                // This command writes the file itself, so it must see the file system.
                let elsewhere = try await Program("nsenter", package: "util-linux").run([
                    "--target", "\(server.pid)", "--mount", Program.ramdiskNBD.name, "save",
                    "--control",
                    server.controlPath, "\(small)/copy.img",
                ])
                #expect(elsewhere.status == .exited(74))
                #expect(elsewhere.isOneSentence(naming: "\(small)/copy.img", "free space"))
                try await expectDisk(of: server, toEqual: data)
                let stats = try saves(of: server)[0]
                #expect(stats.saves == 0 && stats.failures == 1)
                #expect(stats.error.map { ending.errors.contains($0) } == true, "\(stats)")
                #expect(files.names == ["disk.img.lock"])

                server.signal(SIGTERM)
                try await eventually("it says so") { server.log.contains("exists only in this") }
                try await Task.sleep(for: .milliseconds(2500))
                #expect(!server.hasEnded)
                let lines = server.log.split(separator: "\n")
                #expect(lines.count { $0.contains("is not saved") } == 1)
                try await Program("nsenter", package: "util-linux")(
                    "--target", "\(server.pid)", "--mount", "mount", "-o", "remount,size=16M",
                    small)
                try await server.ends()
                return files
            }
            #expect(try sameBytes("\(files.path)/disk.img", data))
        }

        @Test(
            "is lost with a second signal, when it cannot be saved",
            .enabled(if: geteuid() == 0, "mounting needs root"))
        func secondSignal() async throws {
            let data = try directory.randomFile(bytes: 6 << 20)
            let start = onSmallFileSystem(ending: .exited(128 + SIGTERM))
            let files = try await withServer(smallOptions, start: start) { server in
                let files = try OpenDirectory("/proc/\(server.pid)/root\(small)")
                try await nbdcopy(data, server.uri)
                server.signal(SIGTERM)
                try await eventually("it says so") { server.log.contains("a second signal ends") }
                try await server.end(with: SIGTERM)
                return files
            }
            #expect(!exists("\(files.path)/disk.img") && !exists("\(files.path)/disk.img.state"))
        }

        // MARK: - Statistics

        @Test("has its saves among the metrics, with values that can be")
        func metrics() async throws {
            let options = ["--size", "2M", "--image", image, "--save-every", "90m"]
            try await withServer(options) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([UInt8](repeating: 1, count: 1 << 20), at: 0)
                func value(_ name: String) throws -> Double? {
                    let start = "ramdisk_nbd_\(name){export=\"\"} "
                    let answer = try server.ask("/metrics")
                    let line = answer.text.split(separator: "\n").first { $0.hasPrefix(start) }
                    return line.flatMap { Double($0.dropFirst(start.count)) }
                }
                #expect(try value("save_interval_seconds") == 5400)
                #expect(try value("save_timestamp_seconds") == nil)
                #expect(try value("save_written_bytes") == nil)
                #expect(try value("save_dirty_bytes") == 1_048_576)
                #expect(try value("saves_total") == 0)
                let stats = try await saved(of: server)
                #expect(try value("save_written_bytes") == 1_048_576)
                #expect(try value("save_dirty_bytes") == 0)
                #expect(try value("saves_total") == 1)
                #expect(try value("save_failures_total") == 0)
                let now = Date().timeIntervalSince1970
                for time in [try value("save_timestamp_seconds"), stats.savedUnixSeconds] {
                    #expect(time.map { abs($0 - now) < 60 } == true, "\(String(describing: time))")
                }
                for seconds in [try value("save_duration_seconds"), stats.seconds] {
                    #expect(seconds.map { $0 > 1e-6 && $0 < 60 } == true, "\(stats)")
                }
            }
            try await withServer("--size", "1M") { server in
                let text = try server.ask("/metrics").text
                #expect(!text.contains("ramdisk_nbd_save"))
            }
        }

        // MARK: - Means

        /// Runs `save` with arguments against a server.
        private func save(
            _ arguments: String..., of server: ServerProcess
        ) async throws -> Program.Ending {
            try await Program.ramdiskNBD.run(
                ["save", "--control", server.controlPath] + arguments)
        }

        /// Runs `save`, which must succeed, and returns what it prints as JSON.
        private func saved(
            _ path: String? = nil, of server: ServerProcess
        ) async throws -> Saved {
            let json = try await Program.ramdiskNBD(
                ["save", "--json", "--control", server.controlPath] + (path.map { [$0] } ?? []))
            return try JSONDecoder().decode(Saved.self, from: Data(json.utf8))
        }

        private func saves(of server: ServerProcess) throws -> [Saved] {
            try server.ask("/saves").json([Saved].self)
        }

        private func expectDisk(of server: ServerProcess, toEqual file: String) async throws {
            let copy = directory.file("copy-of-disk")
            try await nbdcopy(server.uri, copy)
            #expect(try sameBytes(copy, file))
        }

        /// Expects a start with an image to end with a status and one sentence, and without an address.
        private func expectNoStart(
            _ status: Int32, _ arguments: String..., at path: String? = nil,
            as user: User = .same, naming things: String...
        ) async throws {
            let ending = try await Program.ramdiskNBD.run(
                ["serve", "--listen", "localhost:0", "--no-control", "--image", path ?? image]
                    + arguments, as: user)
            #expect(ending.status == .exited(status))
            #expect(ending.output.isEmpty)
            #expect(ending.isOneSentence(naming: ""), "\(ending.errors)")
            for thing in things { #expect(ending.errors.contains(thing), "\(ending.errors)") }
        }

        /// The mount point of a file system of 4 MiB that only the server sees.
        private var small: String { directory.path }
        private var smallOptions: [String] { ["--size", "6M", "--image", "\(small)/disk.img"] }

        private func onSmallFileSystem(ending: Exit = .exited(0)) -> ServerStart {
            ServerStart(
                shell: """
                    exec unshare --mount sh -c 'mount -t tmpfs -o size=4M none \(small) \
                    && exec "$0" "$@"' "$@"
                    """, ending: ending)
        }
    }
}

/// What is known of the saves of a disk.
struct Saved: Decodable {
    var export: String
    var image: String
    var generation: UInt64
    var savedUnixSeconds: Double?
    var writtenBytes: UInt64?
    var seconds: Double?
    var dirtyBytes: UInt64
    var saves: Int
    var failures: Int
    var error: String?
}

/// A directory that stays as long as this object does, even without a name.
private final class OpenDirectory: Sendable {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw TestError("cannot open \(path): errno \(errno)") }
    }

    deinit { close(descriptor) }

    /// Its path in this process.
    var path: String { "/proc/self/fd/\(descriptor)" }

    /// The names of its files.
    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path + "/.")) ?? []).sorted()
    }
}
