import LinuxIO
import NBDProtocol
import Testing

@testable import NBDServer

@Suite("Statistics and traces")
struct StatisticsTests {
    @Test("count every request and every byte, by command")
    func counts() async throws {
        let server = try makeServer()
        let client = try TestClient(to: server, export: "disk")
        for number in 0..<5 as Range<UInt64> {
            try client.write(pattern(4096), at: number * 4096)
        }
        _ = try client.read(at: 0, count: 10_000)
        #expect(try client.call(Request(.flush)) == .none)
        #expect(try client.call(Request(.trim, offset: 0, length: 8192)) == .none)
        #expect(try client.call(Request(.writeZeroes, offset: 0, length: 100)) == .none)
        #expect(try client.call(Request(.cache, offset: 0, length: 300)) == .none)
        try await settled(server, requests: 10)
        let activity = server.statistics().activity
        let expected: [Command: (UInt64, UInt64)] = [
            .write: (5, 20480), .read: (1, 10_000), .flush: (1, 0), .trim: (1, 8192),
            .writeZeroes: (1, 100), .cache: (1, 300),
        ]
        for command in ActivityStatistics.commands {
            let (requests, bytes) = expected[command] ?? (0, 0)
            #expect(activity.requests(of: command) == requests, "\(command)")
            #expect(activity.bytes(of: command) == bytes, "\(command)")
            #expect(activity.errors(of: command) == 0)
            #expect(activity.latencies(of: command).reduce(0, +) == requests)
        }
        // The client waited for each reply.
        #expect(activity.batches == 10)
        #expect(activity.batchedRequests == 10)
        #expect(activity.batchesBySize.first == 10)
    }

    @Test("count errors by kind, and no bytes for them")
    func errors() async throws {
        let server = try makeServer(isReadOnly: true)
        let client = try TestClient(to: server, export: "disk")
        let write = Request(.write, offset: 0, length: 4)
        #expect(try client.call(write, [1, 2, 3, 4]) == .notPermitted)
        #expect(try client.call(Request(.read, offset: 0, length: 0)) == .invalid)
        #expect(try client.call(Request(.read, offset: 1 << 30, length: 1)) == .invalid)
        #expect(try client.call(Request(Command(rawValue: 77))) == .invalid)
        _ = try client.read(at: 0, count: 1)
        try await settled(server, requests: 5)
        let activity = server.statistics().activity
        #expect(activity.requests(failedWith: .notPermitted) == 1)
        #expect(activity.requests(failedWith: .invalid) == 3)
        #expect(activity.errorCounts.map(\.name) == ["EPERM", "EINVAL"])
        #expect(activity.errorCounts.map(\.requests) == [1, 3])
        #expect(activity.errors(of: .write) == 1)
        #expect(activity.errors(of: .read) == 2)
        #expect(activity.errors(of: Command(rawValue: 77)) == 1)
        #expect(activity.bytes(of: .write) == 0)
        #expect(activity.bytes(of: .read) == 1)
    }

    @Test("count the requests of each batch")
    func batches() async throws {
        let server = try makeServer()
        let client = try TestClient(to: server, export: "disk")
        let requests = (0..<100).map { Request(.flush, cookie: $0) }
        try client.send(requests.flatMap(\.encoded))
        for request in requests {
            #expect(try client.reply() == SimpleReply(cookie: request.cookie))
        }
        try await settled(server, requests: 100)
        let activity = server.statistics().activity
        #expect(activity.batchedRequests == 100)
        #expect(activity.batches < 50, "one send contained all")
        #expect(activity.pollHits + activity.pollSleeps > 0)
    }

    @Test("include connections that have ended")
    func ended() async throws {
        let server = try makeServer()
        for _ in 0..<3 {
            let client = try TestClient(to: server, export: "disk")
            _ = try client.read(at: 0, count: 512)
            try client.send(Request(.disconnect))
            #expect(try client.isClosed())
            // The sum never falls while the connection moves from the open ones to the ended ones.
            #expect(server.statistics().activity.requests(of: .read) >= 1)
        }
        try await settled(server, requests: 6)
        let figures = server.statistics()
        #expect(figures.connections.isEmpty)
        #expect(figures.accepted == 3)
        #expect(figures.activity.requests(of: .read) == 3)
        #expect(figures.activity.requests(of: .disconnect) == 3)
        #expect(figures.exports[0].activity == figures.activity)
        #expect(figures.exports[0].openConnections == 0)
    }

    @Test("count nothing when counting is off")
    func noStats() throws {
        var options = ServerOptions()
        options.isCounting = false
        let server = try makeServer(options: options)
        let client = try TestClient(to: server, export: "disk")
        _ = try client.read(at: 0, count: 512)
        #expect(server.statistics().activity == ActivityStatistics())
        #expect(!server.statistics().isCounting)
        let isTracing = server.trace() != nil
        #expect(!isTracing)
    }

    // MARK: - Traces

    @Test("trace every request while there is a reader, and none before")
    func trace() async throws {
        let server = try makeServer()
        let client = try TestClient(to: server, export: "disk")
        _ = try client.read(at: 0, count: 1)
        var follower = try follow(server)
        try client.write(pattern(700), at: 4096)
        let zeroes = Request(.writeZeroes, flags: .noHole, offset: 512, length: 1024)
        #expect(try client.call(zeroes) == .none)
        #expect(try client.call(Request(.read, offset: 1 << 40, length: 5)) == .invalid)
        try client.send(Request(.disconnect))
        #expect(try client.isClosed())
        var records: [TraceRecord] = []
        while records.count < 3 { records += follower.read(atMost: 100) }
        #expect(records.map(\.command) == [.write, .writeZeroes, .read])
        #expect(records.map(\.offset) == [4096, 512, 1 << 40])
        #expect(records.map(\.length) == [700, 1024, 5])
        #expect(records.map(\.flags.rawValue) == [0, CommandFlags.noHole.rawValue, 0])
        #expect(records.map(\.error) == [.none, .none, .invalid])
        #expect(records.allSatisfy { $0.receivedNanoseconds >= follower.startNanoseconds })
        #expect(follower.droppedRequests == 0)
        #expect(follower.read(atMost: 100).isEmpty)
    }

    @Test("trace connections that open and end between two reads")
    func shortConnections() throws {
        let server = try makeServer()
        var follower = try follow(server)
        for number in 0..<5 as Range<UInt64> {
            let client = try TestClient(to: server, export: "disk")
            _ = try client.read(at: number, count: 1)
            try client.send(Request(.disconnect))
            #expect(try client.isClosed())
        }
        var offsets: [UInt64] = []
        while offsets.count < 5 { offsets += follower.read(atMost: 2).map(\.offset) }
        #expect(offsets.sorted() == [0, 1, 2, 3, 4])
    }

    @Test("keep a limited number of connections that ended between two reads")
    func manyShortConnections() throws {
        let server = try makeServer()
        var follower = try follow(server)
        let known = try (0..<5).map { _ in try TestClient(to: server, export: "disk") }
        for client in known { _ = try client.read(at: 0, count: 1) }
        var received = 0
        while received < 5 { received += follower.read(atMost: 100).count }
        for _ in 0..<80 {
            let client = try TestClient(to: server, export: "disk")
            _ = try client.read(at: 1, count: 1)
            try client.send(Request(.disconnect))
            #expect(try client.isClosed())
        }
        for client in known {
            _ = try client.read(at: 2, count: 1)
            try client.send(Request(.disconnect))
            #expect(try client.isClosed())
        }
        for _ in 0..<2000 where !server.statistics().connections.isEmpty {
            try pause(milliseconds: 5)
        }
        server.stop()
        var offsets: [UInt64] = []
        while case let records = follower.read(atMost: 1000), !records.isEmpty {
            offsets += records.map(\.offset)
        }
        #expect(
            offsets.count { $0 == 2 } == 5,
            "connections that the follower knew are read to their end")
        #expect(offsets.count { $0 == 1 } < 80, "not all of the others were kept")
        #expect(UInt64(offsets.count) + follower.droppedRequests == 85)
        #expect(follower.connectionCount == 0)
    }

    @Test(
        "a reader that does not read delays no client, and counts the requests that it has missed")
    func slowReader() async throws {
        let server = try makeServer()
        var follower = try follow(server)
        let client = try TestClient(to: server, export: "disk")
        let count = UInt64(CounterLayout.ringCapacity) + 1000
        let batch = (0..<100).map { Request(.flush, cookie: $0) }.flatMap(\.encoded)
        for _ in 0..<count / 100 {
            try client.send(batch)
            _ = try client.receive(100 * SimpleReply.encodedSize)
        }
        let sent = count / 100 * 100
        try await settled(server, requests: sent)
        var received: UInt64 = 0
        while true {
            let records = follower.read(atMost: 1000)
            if records.isEmpty { break }
            received += UInt64(records.count)
        }
        #expect(received == UInt64(CounterLayout.ringCapacity))
        #expect(received + follower.droppedRequests == sent)
    }

    @Test("trace for at most eight readers at a time")
    func readers() throws {
        let server = try makeServer()
        var followers: [Follower] = []
        for _ in 0..<8 { followers.append(try #require(Follower(server))) }
        #expect(Follower(server) == nil)
        #expect(server.statistics().traceReaders == 8)
        followers.removeLast()
        #expect(Follower(server) != nil)
    }

    private func follow(_ server: Server) throws -> TraceFollower {
        guard let follower = server.trace() else { throw NoFollower() }
        return follower
    }

    private struct NoFollower: Error {}

    /// A follower that can be stored in an array.
    private final class Follower: Equatable {
        private let follower: TraceFollower

        init?(_ server: Server) {
            guard let follower = server.trace() else { return nil }
            self.follower = follower
        }

        static func == (one: Follower, other: Follower) -> Bool { one === other }
    }

    /// Waits until `requests` requests and their latencies have been counted. The server counts
    /// latencies after the send, so they may not be counted yet when a client has received the
    /// reply.
    private func settled(_ server: Server, requests: UInt64) async throws {
        for _ in 0..<2000 {
            let activity = server.statistics().activity
            let disconnects = activity.requests(of: .disconnect)
            if activity.requests == requests, activity.batchedRequests + disconnects == requests {
                return
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        Issue.record(
            "\(server.statistics().activity.requests) requests were counted, not \(requests)")
    }
}
