import Harness
import Testing

extension ProgramSuite {
    @Suite("Connections") struct Connections {
        @Test("above the limit are closed, and accepted when there is room again")
        func limit() async throws {
            try await withServer("--max-connections", "1") { server in
                let first = try RawClient(unix: server.socketPath)
                try first.enter()
                let second = try RawClient(unix: server.socketPath)
                let isRefused = try second.isClosed()
                #expect(isRefused)
                #expect(server.log.contains("limit=1"))
                try first.write([1], at: 0)
                try first.send(RawClient.request(.disconnect))
                try await eventually("a third is taken in") {
                    do {
                        try RawClient(unix: server.socketPath).enter()
                        return true
                    } catch is RawClient.Ended {
                        return false
                    }
                }
            }
        }

        @Test("that do not finish the handshake in time are closed")
        func handshakeTimeout() async throws {
            try await withServer("--handshake-timeout", "300ms") { server in
                let silent = try RawClient(unix: server.socketPath)
                _ = try silent.receive(18)
                let isClosed = try silent.isClosed()
                #expect(isClosed)
                try await eventually("it is told") {
                    server.log.contains("the handshake took too long")
                }
                try RawClient(unix: server.socketPath).enter()
            }
        }

        @Test("that stop in the middle of a message are closed, and idle ones are not")
        func stallTimeout() async throws {
            try await withServer("--stall-timeout", "300ms") { server in
                let idle = try RawClient(unix: server.socketPath)
                try idle.enter()
                let stalled = try RawClient(unix: server.socketPath)
                try stalled.enter()
                try stalled.send(Array(RawClient.request(.read, length: 512).prefix(20)))
                let isClosed = try stalled.isClosed()
                #expect(isClosed)
                try await eventually("it is told") {
                    server.log.contains("in the middle of a message")
                }
                try idle.write([1], at: 0)
            }
        }

        @Test("release their threads, descriptors and memory at their end")
        func leftovers() async throws {
            try await withServer { server in
                // The first connection creates what stays until the server ends.
                try RawClient(unix: server.socketPath).enter()
                try await eventually("it has gone") { server.log.contains("connection ended") }
                let before = try Figures(of: server)
                for _ in 0..<3 {
                    let clients = try (0..<20).map { _ in try RawClient(unix: server.socketPath) }
                    for client in clients { try client.enter() }
                    try clients[3].send(RawClient.request(.disconnect))
                    try clients[4].send([UInt8](repeating: 0xff, count: 28))
                    try clients[5].send(RawClient.request(.write, length: 4096))
                }
                try await eventually("all is as before: \(before)") {
                    let now = try Figures(of: server)
                    return now.threads <= before.threads && now.descriptors <= before.descriptors
                        && now.memory < before.memory + 4 << 20
                }
            }
        }

        @Test("continue when there are no descriptors left for more")
        func noDescriptors() async throws {
            try await withServer(start: .init(shell: #"ulimit -n 40; exec "$@""#)) { server in
                let first = try RawClient(unix: server.socketPath)
                try first.enter()
                var others: [RawClient] = []
                for _ in 0..<60 { others.append(try RawClient(unix: server.socketPath)) }
                try await eventually("it says so") {
                    server.log.contains("cannot accept a client")
                }
                try first.write([1, 2, 3], at: 0)
                // Although all of them still exist.
                let another = try RawClient(unix: server.socketPath)
                try another.enter()
                try another.write([4, 5, 6], at: 0)
                others = []
                try await eventually("others are served again") {
                    (try? RawClient(unix: server.socketPath).enter()) != nil
                }
            }
        }
    }
}
