import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("The machine") struct Machine {
        @Test("has its connections bound to the listed processors in turn")
        func bound() async throws {
            let allowed = try processors("/proc/self/status")
            let list = allowed.map(String.init).joined(separator: ",")
            try await withServer("--cpu-list", list) { server in
                let clients = try (0..<4).map { _ in try RawClient(unix: server.socketPath) }
                for client in clients { try client.enter() }
                let found = try threads(of: server).filter { $0.name.hasPrefix("nbd-") }
                    .filter { $0.name != "nbd-accept" }.map(\.processors)
                let wanted = (0..<4).map { [allowed[$0 % allowed.count]] }
                #expect(found.sorted { $0[0] < $1[0] } == wanted.sorted { $0[0] < $1[0] })
            }
        }

        @Test("without the listed processor is an error")
        func noProcessor() async throws {
            let ending = try await Program.ramdiskNBD.run(
                ["serve", "--listen", "localhost:0", "--cpu-list", "1023"])
            #expect(ending.status == .exited(64))
            #expect(ending.isOneSentence(naming: "CPU 1023"))
        }

        @Test("with too few reserved huge pages is told how to reserve them")
        func noHugePages() async throws {
            let ending = try await Program.ramdiskNBD.run(
                ["serve", "--listen", "localhost:0", "--size", "100T", "--huge-pages"])
            #expect(ending.status == .exited(71))
            #expect(ending.isOneSentence(naming: "huge pages", "sysctl vm.nr_hugepages="))
        }

        @Test(
            "with reserved huge pages has a disk in them, and in a hugetlbfs one that stays",
            .enabled(
                if: HugePagePool.canGrow, "reserving huge pages needs root and a kernel with them"))
        func hugePages() async throws {
            let pool = try HugePagePool(pages: 24)
            try await withServer("--size", "10M", "--huge-pages") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([1, 2, 3], at: 10 << 20 - 3)
                let bytes = try client.read(at: 10 << 20 - 3, count: 3)
                #expect(bytes == [1, 2, 3])
                #expect(server.memory("HugetlbPages") == 10 << 20)
            }
            let options = [
                "--size", "10M", "--huge-pages", "--backing", "disk", "--backing-directory",
                pool.directory,
            ]
            try await withServer(options, start: ServerStart(ending: .signalled(SIGKILL))) {
                server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([1, 2, 3], at: 10 << 20 - 3)
                try await server.end(with: SIGKILL)
            }
            try await withServer(options) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                let bytes = try client.read(at: 10 << 20 - 3, count: 3)
                #expect(bytes == [1, 2, 3])
            }
            #expect(!exists("\(pool.directory)/disk"))
        }

        @Test("without memory spares a server that is protected", .enabled(if: geteuid() == 0))
        func protected() async throws {
            try await withServer("--size", "40M", "--swap") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                let data = [UInt8](repeating: 5, count: 4 << 20)
                for offset in stride(from: 0, to: UInt64(40 << 20), by: data.count) {
                    try client.write(data, at: offset)
                    _ = try client.read(at: offset, count: data.count)
                }
                // The tests may run as root without CAP_SYS_RESOURCE.
                let score = text(of: "/proc/\(server.pid)/oom_score_adj")
                #expect(score == (try mayKeepAlive(server) ? "-1000\n" : "0\n"))
                #expect(server.memory("VmLck") > 40 << 20)
                let beyond = server.memory("VmRSS") - 40 << 20
                print("resident memory beyond the disk, protected: \(beyond >> 10) KiB")
                // More than without --swap: then all of the program is in memory, some 20 MiB.
                #expect(beyond < (Program.isReleaseBuild ? 48 << 20 : 96 << 20))
            }
        }

        @Test(
            "without memory gives real-time priority only to clients that have finished the handshake",
            .enabled(if: geteuid() == 0))
        func silentClients() async throws {
            try await withServer("--size", "4M", "--swap") { server in
                let silent = try RawClient(unix: server.socketPath)
                let serving = try RawClient(unix: server.socketPath)
                try serving.enter()
                let policies = {
                    try server.entries("task").compactMap { task in
                        policy(of: "/proc/\(server.pid)/task/\(task)")
                    }
                }
                try await eventually("both have threads") { try policies().count == 2 }
                // The policy of the other one is 2, SCHED_RR, if the server may set it.
                let ordinary = try policies().filter { $0 == 0 }
                #expect(ordinary.count == (try mayHurry(server) ? 1 : 2))
                extendLifetime(silent)
            }
        }

        /// The scheduling policy of a connection's thread; nil for another's. proc(5), field 41 of
        /// `stat`
        private func policy(of task: String) -> Int? {
            guard text(of: "\(task)/comm").wholeMatch(of: /nbd-[0-9]+\n/) != nil else { return nil }
            let fields = text(of: "\(task)/stat").split(separator: ")").last?.split(separator: " ")
            return fields.flatMap { Int($0[38]) }
        }

        /// Whether the server has the capability to say that it must not be killed.
        private func mayKeepAlive(_ server: ServerProcess) throws -> Bool {
            // CAP_SYS_RESOURCE
            try has(24, server)
        }

        /// Whether the server has the capability to ask for real-time priority.
        private func mayHurry(_ server: ServerProcess) throws -> Bool {
            // CAP_SYS_NICE
            try has(23, server)
        }

        private func has(_ capability: UInt64, _ server: ServerProcess) throws -> Bool {
            let lines = text(of: "/proc/\(server.pid)/status").split(separator: "\n")
            let line = try #require(lines.first { $0.hasPrefix("CapEff:") })
            let digits = try #require(line.split(separator: "\t").last)
            let mask = try #require(UInt64(digits, radix: 16))
            return mask >> capability & 1 == 1
        }

        /// A thread's name, and the processors that it may use.
        private func threads(
            of server: ServerProcess
        ) throws -> [(name: String, processors: [Int])] {
            let tasks = "/proc/\(server.pid)/task"
            return try FileManager.default.contentsOfDirectory(atPath: tasks).map { task in
                let name = text(of: "\(tasks)/\(task)/comm").split(separator: "\n").first
                return (
                    String(name ?? ""), try processors("\(tasks)/\(task)/status")
                )
            }
        }

        /// The processors that a status file of /proc lists.
        private func processors(_ status: String) throws -> [Int] {
            let lines = text(of: status).split(separator: "\n")
            let line = try #require(lines.first { $0.hasPrefix("Cpus_allowed_list:") })
            return try #require(line.split(separator: "\t").last).split(separator: ",")
                .flatMap { part in
                    let ends = part.split(separator: "-").compactMap { Int($0) }
                    return Array(ends[0]...ends[ends.count - 1])
                }
        }
    }
}

/// Huge pages that are reserved for a test, and a mounted hugetlbfs, until this object is released.
final class HugePagePool: Sendable {
    /// The mount point of the hugetlbfs.
    let directory: String
    private let mountPoint: TemporaryDirectory
    private let before: String

    private static let file = "/proc/sys/vm/nr_hugepages"

    static var canGrow: Bool { unsafe geteuid() == 0 && access(file, W_OK) == 0 }

    init(pages: Int) throws {
        before = text(of: Self.file)
        mountPoint = try TemporaryDirectory()
        directory = mountPoint.path
        let wanted = (Int(before.filter(\.isNumber)) ?? 0) + pages
        try Data("\(wanted)".utf8).write(to: URL(filePath: Self.file))
        guard unsafe mount("none", directory, "hugetlbfs", 0, "mode=700") == 0 else {
            throw TestError("cannot mount a hugetlbfs: errno \(errno)")
        }
    }

    deinit {
        unsafe umount(directory)
        try? Data(before.utf8).write(to: URL(filePath: Self.file))
    }
}
