// kill -9 while a disk is being saved. KILLS is how often (default 12), SEED repeats a run's changes and moments.

import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("An image of a server that is killed while it saves") struct ImageKills {
        /// Kills of a test case, so that each has a time limit of its own.
        private static let killsPerRound = 12
        private static let kills = number("KILLS") ?? 12
        private static let seed = number("SEED") ?? Int(UInt32.random(in: 0 ... .max))
        /// The longest time from the first save to the kill: long enough for several saves, and short enough for
        /// many kills.
        private static let longestDelayMicroseconds = 60_000

        @Test(
            "is the save that was complete last, or the one that was in progress",
            arguments: 0..<(kills + killsPerRound - 1) / killsPerRound)
        func killed(round: Int) async throws {
            let count = min(Self.killsPerRound, Self.kills - round * Self.killsPerRound)
            let seed = UInt64(Self.seed) << 16 | UInt64(round)
            var random = SplitMix64(state: seed)
            let directory = try TemporaryDirectory()
            let image = directory.file("disk.img")
            var possible = [Data(count: KillDisk.size)]
            var outcomes = KillOutcomes()
            for kill in 1...count {
                let delay = Int.random(in: 0...Self.longestDelayMicroseconds, using: &random)
                let saver = KillDisk(image: image, seed: random.next())
                let name = "kill \(kill) of round \(round) with SEED=\(Self.seed)"
                possible = try await saver.saveUntilKilled(
                    afterMicroseconds: delay, restored: possible, after: name)
                outcomes.note(image)
            }
            let last = KillDisk(image: image, seed: 0)
            try await withServer(last.options) { [possible] server in
                _ = try last.restored(of: server, possible, "the last kill of round \(round)")
            }
            print("round \(round) of SEED=\(Self.seed): \(count) kills, \(outcomes)")
            // A long run shows nothing if no kill hits a save. In a short one, beside other tests, a busy machine may
            // not get to save in time.
            let isShort = Self.kills < 100 || count < Self.killsPerRound
            #expect(isShort || outcomes.journals + outcomes.drafts > 0)
        }

        private static func number(_ name: String) -> Int? {
            ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
        }
    }
}

/// What kills have left beside an image.
private struct KillOutcomes: CustomStringConvertible {
    /// Incremental saves that were cut off.
    var journals = 0
    /// Full saves that were cut off.
    var drafts = 0

    mutating func note(_ image: String) {
        if exists(image + ".journal") {
            journals += 1
        } else if exists(image + ".new") || exists(image + ".state.new") {
            drafts += 1
        }
    }

    var description: String { "\(journals) in an incremental save, \(drafts) in a full one" }
}

/// A disk of 1024 pages that is changed and saved again and again until its server is killed.
private struct KillDisk {
    static let pageSize = 4096
    static let pageCount = 1024
    /// More saves than are complete before the longest delay is over.
    private static let changeCount = 16
    static let size = pageSize * pageCount

    let image: String
    let seed: UInt64

    var options: [String] { ["--size", "\(Self.size)", "--image", image] }

    /// A change of the disk, ready to be sent.
    private struct Change {
        var requests: [UInt8] = []
        var requestCount = 0
        /// The disk's contents after it.
        var contents: Data
    }

    /// Starts the server, checks that it restores one of several contents, changes and saves the disk until the
    /// server is killed, and returns what the image may hold then.
    func saveUntilKilled(
        afterMicroseconds delay: Int, restored possible: [Data], after kill: String
    ) async throws -> [Data] {
        try await withServer(options, start: ServerStart(ending: .signalled(SIGKILL))) { server in
            let contents = try restored(of: server, possible, "the kill before \(kill)")
            let client = try RawClient(unix: server.socketPath)
            try client.enter()
            let asker = try RawClient(unix: server.controlPath)
            // Not while the time runs: a save is to be in progress for most of it.
            let changes = changes(of: contents)
            let killer = Task.detached {
                try await Task.sleep(for: .microseconds(delay))
                server.signal(SIGKILL)
            }
            let left = try save(changes, of: contents, through: client, asker)
            try await killer.value
            try await server.ends()
            return left
        }
    }

    /// Returns the contents of a server's disk, which must be one of several.
    func restored(of server: ServerProcess, _ possible: [Data], _ kill: String) throws -> Data {
        let client = try RawClient(unix: server.socketPath)
        try client.enter()
        var contents = Data()
        while contents.count < Self.size {
            contents += try client.read(at: UInt64(contents.count), count: 1 << 20)
        }
        guard possible.contains(contents) else {
            let pages = possible.map { other in
                (0..<Self.pageCount).filter { page in
                    let range = page * Self.pageSize..<(page + 1) * Self.pageSize
                    return contents[range] != other[range]
                }
            }
            throw TestError(
                "after \(kill), the disk is none of the \(possible.count) saves; it differs in "
                    + pages.map { "\($0.count) pages (\($0.prefix(8)) …)" }
                    .joined(separator: " and in "))
        }
        return contents
    }

    /// Changes and saves the disk until the connections break; returns the contents of the last complete save,
    /// and of the one that was in progress.
    private func save(
        _ changes: [Change], of contents: Data, through client: RawClient, _ asker: RawClient
    ) throws -> [Data] {
        var complete = contents
        for change in changes {
            do {
                try client.send(change.requests)
                for _ in 0..<change.requestCount {
                    guard try client.receiveReply().error == 0 else { return [] }
                }
            } catch {
                return [complete]
            }
            guard let answer = try? asker.ask("/saves", method: "POST") else {
                return [complete, change.contents]
            }
            guard answer.status == 200 else { throw TestError("a save failed: \(answer.text)") }
            complete = change.contents
        }
        return [complete]
    }

    /// Returns changes, each with scattered pages, so that the save is incremental, or with more than half of the
    /// disk, so that it is a full one. Both with ranges of zeroes.
    private func changes(of contents: Data) -> [Change] {
        var random = SplitMix64(state: seed)
        var change = Change(contents: contents)
        return (0..<Self.changeCount).map { _ in
            change = Change(contents: change.contents)
            let isLarge = Int.random(in: 0..<4, using: &random) == 0
            for _ in 0..<(isLarge ? 8 : Int.random(in: 1...24, using: &random)) {
                let count = isLarge ? 128 : Int.random(in: 1...3, using: &random)
                add(count, to: &change, &random)
            }
            return change
        }
    }

    /// Adds pages somewhere on the disk to a change.
    private func add(_ count: Int, to change: inout Change, _ random: inout SplitMix64) {
        let start = Int.random(in: 0...Self.pageCount - count, using: &random) * Self.pageSize
        let length = count * Self.pageSize
        let isZero = Int.random(in: 0..<6, using: &random) == 0
        let bytes =
            isZero ? [UInt8](repeating: 0, count: length) : pattern(count, random.next())
        change.requests +=
            RawClient.request(
                isZero ? .writeZeroes : .write, offset: UInt64(start), length: UInt32(length))
            + (isZero ? [] : bytes)
        change.requestCount += 1
        change.contents.replaceSubrange(start..<start + length, with: bytes)
    }

    /// Returns the bytes of pages: a tag at both ends of each, and a byte of the tag between, so that a page that
    /// is half of one save and half of another is noticed.
    private func pattern(_ pages: Int, _ tag: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: tag), count: pages * Self.pageSize)
        for page in 0..<pages {
            for index in 0..<8 {
                let byte = UInt8(truncatingIfNeeded: (tag &+ UInt64(page)) >> (8 * UInt64(index)))
                bytes[page * Self.pageSize + index] = byte
                bytes[(page + 1) * Self.pageSize - 8 + index] = byte
            }
        }
        return bytes
    }
}
