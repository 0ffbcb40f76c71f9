// kill -9 while clients change a disk and checkpoints of it are made. KILLS is how often (default 8), SEED repeats a
// run's commands and moments.

import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    // One at a time: a kill is to come after several checkpoints.
    @Suite("Checkpoints of a backing whose server is killed under load", .serialized)
    struct CheckpointKills {
        private static let kills = number("KILLS") ?? 8
        private static let seed = number("SEED") ?? Int(UInt32.random(in: 0 ... .max))
        /// Rounds of about ten kills, so that each has a time limit of its own.
        private static let rounds = max(2, (kills + 9) / 10)
        /// The longest time from the first request to the kill: long enough for several checkpoints.
        private static let longestDelayMicroseconds = 250_000

        @Test(
            "report every page dirty that differs from the last committed one, and not every page",
            arguments: 0..<rounds)
        func killed(round: Int) async throws {
            let count = Self.kills * (round + 1) / Self.rounds - Self.kills * round / Self.rounds
            let memory = try TemporaryDirectory(in: "/dev/shm")
            // Every other round, a disk that releases memory.
            let options =
                ["--size", "\(CheckpointChain.size)", "--backing", "disk"]
                + ["--backing-directory", memory.path] + (round % 2 == 0 ? [] : ["--sparse"])
            var random = SplitMix64(state: UInt64(Self.seed) << 16 | UInt64(round))
            var chain = CheckpointChain()
            for kill in 0...count {
                chain.title = "kill \(kill) of round \(round) with SEED=\(Self.seed)"
                let (seed, given) = (random.next(), chain)
                let delay = Int.random(in: 0...Self.longestDelayMicroseconds, using: &random)
                guard kill < count else {
                    chain = try await withServer(options) { server in
                        try await given.checked(of: server, seed: seed)
                    }
                    break
                }
                let start = ServerStart(ending: .signalled(SIGKILL))
                chain = try await withServer(options, start: start) { server in
                    let chain = try await given.checked(of: server, seed: seed)
                    return try await Self.load(server, chain, seed, delay)
                }
            }
            print(
                "round \(round) of SEED=\(Self.seed): \(count) kills, \(chain.commits) commits, "
                    + "\(chain.cleanPages) pages clean, \(chain.dirtyPages) dirty")
            #expect(chain.cleanPages > 0 && chain.dirtyPages > 0)
        }

        /// Changes a disk through several connections and makes checkpoints, until the server is killed.
        private static func load(
            _ server: ServerProcess, _ chain: CheckpointChain, _ seed: UInt64, _ delay: Int
        ) async throws -> CheckpointChain {
            try await withThrowingTaskGroup(of: CheckpointChain?.self) { group in
                for index in 0..<4 as Range<UInt64> {
                    group.addTask {
                        try await onThread { try writeUntilKilled(server, seed &+ index) }
                        return nil
                    }
                }
                group.addTask {
                    try await onThread {
                        var chain = chain
                        try chain.continueUntilKilled(on: server, seed)
                        return chain
                    }
                }
                try await Task.sleep(for: .microseconds(delay))
                try await server.end(with: SIGKILL)
                return try await group.compactMap(\.self).reduce(chain) { $1 }
            }
        }

        private static func number(_ name: String) -> Int? {
            ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
        }
    }
}

/// Runs blocking code on a thread of its own, since the test's tasks have few.
private func onThread<Value: Sendable>(
    _ body: @escaping @Sendable () throws -> Value
) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
    }
}

/// Sends writes, trims and zeroes to an eighth of the disk until the connection breaks.
private func writeUntilKilled(_ server: ServerProcess, _ seed: UInt64) throws {
    var random = SplitMix64(state: seed)
    let end = CheckpointChain.size / 8
    let start = Int.random(in: 0...CheckpointChain.size - end, using: &random)
    guard let client = try? RawClient(unix: server.socketPath), (try? client.enter()) != nil else {
        return
    }
    while true {
        let kind = Int.random(in: 0..<8, using: &random)
        // Large ones, so that a kill hits the middle of a payload.
        let longest = kind < 3 ? end : 1 << 14
        let length = Int.random(in: 1...longest, using: &random)
        let offset = start + Int.random(in: 0...end - length, using: &random)
        let command: RawClient.Command = kind == 3 ? .trim : kind == 4 ? .writeZeroes : .write
        let byte = UInt8.random(in: 1...255, using: &random)
        let payload = [UInt8](repeating: byte, count: command == .write ? length : 0)
        let request = RawClient.request(command, offset: UInt64(offset), length: UInt32(length))
        guard (try? client.send(request + payload)) != nil,
            let reply = try? client.receiveReply()
        else { return }
        guard reply.error == 0 else { throw TestError("a request failed: \(reply)") }
    }
}

/// The checkpoints of a disk, as a backup program knows them.
private struct CheckpointChain: Sendable {
    static let pageSize = 4096
    static let pageCount = 1024
    static let size = pageSize * pageCount

    /// A checkpoint, and what the disk was at its instant.
    struct Checkpoint: Sendable {
        var name: String
        var contents: Data
    }

    /// For messages.
    var title = ""
    /// The last one whose commit the server has acknowledged.
    private var committed: Checkpoint?
    /// The one that was made, and neither committed nor aborted as far as the program knows.
    private var open: String?
    /// The one whose commit was sent and not acknowledged.
    private var inDoubt: Checkpoint?
    private var lastNumber = 0
    private(set) var commits = 0
    private(set) var cleanPages = 0
    private(set) var dirtyPages = 0

    /// What the control socket tells of a checkpoint.
    private struct Status: Decodable {
        var name: String
        var state: String
        var base: String?
    }

    private struct Run: Decodable {
        var offset: Int
        var length: Int
        var type: Int
    }

    // MARK: - Until the server is killed

    /// Makes checkpoints, reads, commits and aborts them until the connections break.
    mutating func continueUntilKilled(on server: ServerProcess, _ seed: UInt64) throws {
        var random = SplitMix64(state: ~seed)
        guard let asker = try? RawClient(unix: server.controlPath) else { return }
        while true {
            lastNumber += 1
            let name = "number-\(lastNumber)"
            guard let made = try? asker.ask("/checkpoints?name=\(name)", method: "POST") else {
                return
            }
            try expectSuccess(made)
            open = name
            guard let contents = try? contents(of: "@\(name)", server) else { return }
            let isCommit = Int.random(in: 0..<3, using: &random) > 0
            if isCommit { inDoubt = Checkpoint(name: name, contents: contents) }
            let target = "/checkpoints/\(isCommit ? "commit" : "abort")?name=\(name)"
            guard let ended = try? asker.ask(target, method: "POST") else { return }
            try expectSuccess(ended)
            note(isCommit)
        }
    }

    /// Notes that the server has ended the open checkpoint.
    private mutating func note(_ isCommit: Bool) {
        if isCommit, let inDoubt {
            committed = inDoubt
            commits += 1
        }
        inDoubt = nil
        open = nil
    }

    // MARK: - Afterwards

    /// Looks for changes that the next server does not know of, and makes, reads and ends one more checkpoint.
    func checked(of server: ServerProcess, seed: UInt64) async throws -> CheckpointChain {
        var chain = self
        let asker = try RawClient(unix: server.controlPath)
        try chain.settle(asker)
        chain.lastNumber += 1
        let name = "check-\(chain.lastNumber)"
        let made = try asker.ask("/checkpoints?name=\(name)", method: "POST")
        try chain.expectSuccess(made)
        #expect(try made.json(Status.self).base == chain.committed?.name, "after \(title)")
        let contents = try contents(of: "@\(name)", server)
        try await chain.compare(contents, dirtyPages(of: name, server))
        // Without a committed one, the next round would show nothing.
        let isCommit = chain.committed == nil || seed % 2 == 0
        if isCommit { chain.inDoubt = Checkpoint(name: name, contents: contents) }
        let target = "/checkpoints/\(isCommit ? "commit" : "abort")?name=\(name)"
        try chain.expectSuccess(asker.ask(target, method: "POST"))
        chain.note(isCommit)
        return chain
    }

    /// Finds out which checkpoint is the committed one, and repeats the command that was not acknowledged.
    private mutating func settle(_ asker: RawClient) throws {
        let all = try asker.ask("/checkpoints").json([Status].self)
        guard all.count <= 1, all.allSatisfy({ $0.state == "committed" }) else {
            throw TestError("after \(title), there are \(all)")
        }
        let found = all.first?.name
        if let inDoubt, found == inDoubt.name {
            try expectSuccess(asker.ask("/checkpoints/commit?name=\(inDoubt.name)", method: "POST"))
            note(true)
        } else if let open {
            try expectSuccess(asker.ask("/checkpoints/abort?name=\(open)", method: "POST"))
            note(false)
        }
        guard found == committed?.name else {
            throw TestError(
                "after \(title), \(found ?? "none") is committed, not \(committed?.name ?? "none")")
        }
    }

    private mutating func compare(_ contents: Data, _ dirty: Set<Int>) throws {
        guard let committed else {
            #expect(dirty.count == Self.pageCount, "after \(title)")
            return
        }
        let missed = (0..<Self.pageCount).filter { page in
            let range = page * Self.pageSize..<(page + 1) * Self.pageSize
            return !dirty.contains(page) && contents[range] != committed.contents[range]
        }
        dirtyPages += dirty.count
        cleanPages += Self.pageCount - dirty.count
        guard missed.isEmpty else {
            throw TestError(
                "after \(title), \(missed.count) pages differ from \(committed.name) and are clean: "
                    + "\(missed.prefix(8)) …")
        }
    }

    private func contents(of export: String, _ server: ServerProcess) throws -> Data {
        let client = try RawClient(unix: server.socketPath)
        try client.enter(export)
        var contents = Data()
        while contents.count < Self.size {
            contents += try client.read(at: UInt64(contents.count), count: 1 << 20)
        }
        return contents
    }

    private func dirtyPages(of name: String, _ server: ServerProcess) async throws -> Set<Int> {
        let map = try await Program("nbdinfo", package: "libnbd-bin")(
            "--map=qemu:dirty-bitmap:\(name)", "--json", server.uri("@\(name)"))
        let runs = try JSONDecoder().decode([Run].self, from: Data(map.utf8))
        return Set(
            runs.filter { $0.type == 1 }.flatMap { run in
                run.offset / Self.pageSize..<(run.offset + run.length) / Self.pageSize
            })
    }

    private func expectSuccess(_ response: HTTPResponse) throws {
        guard response.status == 200 else {
            throw TestError("after \(title), a command failed: \(response.text)")
        }
    }
}
