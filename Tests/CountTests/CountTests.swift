internal import Foundation
internal import Glibc
import Harness
import Testing

/// The cost of a request, counted and not timed: heap allocations and system calls.
@Suite("Counted", .serialized)
struct CountTests {
    /// Requests in flight at once.
    static let depth = 128

    @Test("a hundred thousand requests of every kind allocate nothing on the heap")
    func allocations() async throws {
        let directory = try TemporaryDirectory()
        let library = directory.file("counter.so")
        let source = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "AllocationCounter.c").path
        try await Program("clang", package: "clang")(
            "-shared", "-fPIC", "-O1", "-o", library, source)
        let counter = directory.file("count")
        let preload = "LD_PRELOAD=\(library) COUNT_FILE=\(counter) exec \"$@\""
        try await withServer("--size", "16M", start: ServerStart(shell: preload)) { server in
            let client = try RawClient(unix: server.socketPath)
            try client.enter()
            for kind in Kind.allCases { try run(kind, rounds: 4, client) }
            let before = try count(in: counter)
            // It counts at all: starting took some.
            #expect(before > 100)
            for kind in Kind.allCases { try run(kind, rounds: 200, client) }
            #expect(try count(in: counter) == before)
        }
    }

    @Test(
        "a thousand requests of 4 KiB, 128 in flight, take at most 40 system calls",
        arguments: [Kind.read, .write])
    func systemCalls(kind: Kind) async throws {
        try await withServer("--size", "16M", "--busy-poll", "0") { server in
            let client = try RawClient(unix: server.socketPath)
            try client.enter()
            let calls = try await systemCalls(of: server) { try run(kind, rounds: 400, client) }
            let perThousand = calls * 1000 / (400 * Self.depth)
            print("system calls per 1000 requests, \(kind): \(perThousand)")
            #expect(calls > 0)
            #expect(perThousand <= 40)
        }
    }

    @Test("a hundred idle connections take no processor time: no thread wakes up")
    func idle() async throws {
        try await withServer("--size", "16M") { server in
            let clients = try (0..<100).map { _ in try RawClient(unix: server.socketPath) }
            for client in clients {
                try client.enter()
                _ = try client.read(at: 0, count: 4096)
            }
            // The last windows of polling close.
            try await Task.sleep(for: .milliseconds(300))
            let before = try switches(of: server)
            try await Task.sleep(for: .seconds(2))
            #expect(try switches(of: server) == before)
            _ = clients.count
        }
    }

    // MARK: - Load

    enum Kind: CaseIterable { case read, write, refused, zeroes }

    /// Sends `rounds` rounds of 128 requests, and receives all replies of a round before the next.
    private func run(_ kind: Kind, rounds: Int, _ client: RawClient) throws {
        var requests: [UInt8] = []
        var answerLength = Self.depth * 16
        for number in 0..<UInt64(Self.depth) {
            let offset = number * 7 % 4096 * 4096 % (16 << 20)
            switch kind {
            case .read:
                requests += RawClient.request(.read, cookie: number, offset: offset, length: 4096)
            case .write:
                requests += RawClient.request(.write, cookie: number, offset: offset, length: 4096)
                requests += [UInt8](repeating: 7, count: 4096)
            case .refused:
                requests += RawClient.request(.read, cookie: number, offset: 1 << 40, length: 512)
            case .zeroes:
                requests += RawClient.request(
                    .writeZeroes, cookie: number, offset: offset, length: 4096)
            }
        }
        if kind == .read { answerLength += Self.depth * 4096 }
        for _ in 0..<rounds {
            try client.send(requests)
            _ = try client.receive(answerLength)
        }
    }

    // MARK: - Counts

    private func count(in path: String) throws -> UInt64 {
        let bytes = try Data(contentsOf: URL(filePath: path))
        return bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The system calls of all threads of a server while a closure runs. strace(1)
    private func systemCalls(
        of server: ServerProcess, during body: () throws -> Void
    ) async throws -> Int {
        let report = server.directory.file("strace")
        let strace = try requires("strace", package: "strace")
        async let ending = Program("sh", package: "dash").run(
            ["-c", "\(strace) -f -c -o \(report) -p \(server.pid)"])
        try await eventually("strace watches the server") {
            text(of: "/proc/\(server.pid)/status").contains("TracerPid:\t0") == false
        }
        // All threads, of which the first is enough to tell by: attaching takes them in one go.
        try await Task.sleep(for: .milliseconds(200))
        try body()
        try await Program("pkill", package: "procps")("-INT", "-f", "strace -f -c -o \(report)")
        _ = try await ending
        let total = text(of: report).split(separator: "\n").last { $0.hasSuffix("total") }
        let columns = total?.split(separator: " ") ?? []
        return columns.count > 3 ? Int(columns[3]) ?? 0 : 0
    }

    /// Context switches of all threads so far. proc(5)
    private func switches(of server: ServerProcess) throws -> Int {
        let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(server.pid)/task")
        return tasks.reduce(0) { sum, task in
            let lines = text(of: "/proc/\(server.pid)/task/\(task)/status").split(separator: "\n")
            let counts = lines.filter { $0.contains("ctxt_switches:") }
                .compactMap { Int($0.split(separator: "\t").last ?? "") }
            return sum + counts.reduce(0, +)
        }
    }
}
