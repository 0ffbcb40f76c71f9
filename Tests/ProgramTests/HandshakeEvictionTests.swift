import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A crowd in the handshake") struct HandshakeEviction {
        /// The number of clients in the crowd. Some are silent, the others send a byte now and then.
        static let count = 10_000
        /// Memory that the crowd may cost, in bytes: for 256 threads in the handshake, and what the allocator keeps.
        static let memory = 64 << 20
        /// The deadline of a handshake. No client may be kept out for longer.
        static let deadline = Duration.seconds(10)

        @Test("that is silent or sends a byte a second keeps no other client out, and costs little")
        func crowd() async throws {
            try raiseDescriptorLimit(above: Self.count + 500)
            try await withServer("--max-connections", "128") { server in
                try RawClient(unix: server.socketPath).enter()
                try await eventually("it has gone") { server.log.contains("connection ended") }
                let before = try Figures(of: server)
                let resident = try RawClient(unix: server.socketPath)
                try resident.enter()
                try resident.write([1, 2, 3], at: 0)

                var crowd: [RawClient] = []
                var longest = Duration.zero
                var peak = before
                for number in 1...Self.count {
                    crowd.append(try RawClient(unix: server.socketPath))
                    guard number.isMultiple(of: 500) else { continue }
                    sendByteEach(crowd)
                    longest = max(longest, try visit(server))
                    peak = try peak.highest(Figures(of: server))
                }
                // All of them are connected, and continue.
                for _ in 0..<3 {
                    sendByteEach(crowd)
                    longest = max(longest, try visit(server))
                    peak = try peak.highest(Figures(of: server))
                }
                #expect(longest < Self.deadline)
                #expect(peak.threads < 300)
                #expect(peak.descriptors < 400)
                #expect(peak.memory < before.memory + Self.memory)
                let data = try resident.read(at: 0, count: 3)
                #expect(data == [1, 2, 3])

                crowd = []
                try resident.send(RawClient.request(.disconnect))
                try await eventually("all is released: \(before)", within: .seconds(20)) {
                    let now = try Figures(of: server)
                    // The log's timer adds one thread when it is first needed.
                    return now.threads <= before.threads + 1
                        && now.descriptors <= before.descriptors + 1
                        && now.memory < before.memory + 16 << 20
                }
                // The log has only a few lines about it.
                #expect(server.log.split(separator: "\n").count < 100)
            }
        }

        @Test(
            "that announces gigabytes, and reads no replies, gets no more memory than other clients"
        )
        func claims() async throws {
            try await withServer("--size", "32M", "--max-connections", "64") { server in
                let before = server.memory("RssAnon")
                let part = [UInt8](repeating: 0x41, count: 1 << 20)
                var crowd: [RawClient] = []
                for _ in 0..<32 {
                    // An option that is too long: the server drains its data.
                    let option = try RawClient(unix: server.socketPath)
                    _ = try option.receive(18)
                    try option.send(
                        [0, 0, 0, 3] + Array("IHAVEOPT".utf8) + [0, 0, 0, 7, 2, 0, 0, 0])
                    try option.send(part)
                    // A write that is too long, after reads whose replies the client does not read.
                    let requests = try RawClient(unix: server.socketPath)
                    try requests.enter()
                    let read = RawClient.request(.read, length: 32 << 20)
                    try requests.send(read + read + read)
                    let write = try RawClient(unix: server.socketPath)
                    try write.enter()
                    try write.send(RawClient.request(.write, length: 64 << 20))
                    try write.send(part)
                    crowd += [option, requests, write]
                }
                try await eventually("they are all being served") {
                    try server.count("task") >= crowd.count
                }
                let cost = server.memory("RssAnon") - before
                // The memory of a connection: docs/internals/architecture.md, "Limits".
                #expect(cost < crowd.count * 700 << 10, "\(cost) bytes")
            }
        }

        /// Every other client of the crowd sends the next byte of its handshake. The server may have closed it.
        private func sendByteEach(_ crowd: [RawClient]) {
            for index in stride(from: 0, to: crowd.count, by: 2) { try? crowd[index].send([0]) }
        }

        /// Returns how long a client takes that connects, reads, writes and disconnects.
        private func visit(_ server: ServerProcess) throws -> Duration {
            let start = ContinuousClock.now
            let client = try RawClient(unix: server.socketPath)
            try client.enter()
            try client.write([4, 5, 6], at: 4096)
            guard try client.read(at: 4096, count: 3) == [4, 5, 6] else {
                throw TestError("wrong data")
            }
            try client.send(RawClient.request(.disconnect))
            return .now - start
        }

        /// Raises the limit of descriptors of this process, which holds the whole crowd. setrlimit(2)
        private func raiseDescriptorLimit(above count: Int) throws {
            var limit = rlimit()
            unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            guard limit.rlim_cur < count else { return }
            limit.rlim_max = max(limit.rlim_max, rlim_t(count))
            limit.rlim_cur = limit.rlim_max
            guard unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
                throw TestError("this process may not have \(count) descriptors: raise ulimit -Hn")
            }
        }
    }

    /// The resources that a process has at a moment.
    struct Figures: CustomStringConvertible {
        var threads: Int
        var descriptors: Int
        /// In bytes.
        var memory: Int

        init(of server: ServerProcess) throws {
            threads = try server.count("task")
            descriptors = try server.count("fd")
            memory = server.memory("RssAnon")
        }

        /// Returns the maximum of each figure.
        func highest(_ other: Figures) -> Figures {
            var highest = self
            highest.threads = max(threads, other.threads)
            highest.descriptors = max(descriptors, other.descriptors)
            highest.memory = max(memory, other.memory)
            return highest
        }

        var description: String {
            "\(threads) threads, \(descriptors) descriptors, \(memory) bytes"
        }
    }
}
