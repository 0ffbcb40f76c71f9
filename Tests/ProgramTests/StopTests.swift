import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A server that is stopped") struct Stop {
        @Test(
            "finishes the requests that it has received, and replies to later ones that it is shutting down"
        )
        func inFlight() async throws {
            try await withServer("--size", "8M") { server in
                let stuck = try await StuckClient(server)
                let late = 100..<140 as Range<UInt64>
                let requests = late.map { cookie in
                    cookie % 2 == 0
                        ? RawClient.request(.read, cookie: cookie, length: 4096)
                        : RawClient.request(.write, cookie: cookie, length: 1000)
                            + [UInt8](repeating: 9, count: 1000)
                }
                try stuck.ask(requests.flatMap { $0 })
                server.signal(SIGTERM)
                // From here on the server is certain to know that it stops.
                try await eventually("its socket is gone") { !exists(server.socketPath) }
                let client = try stuck.catchUp()
                for cookie in late {
                    let reply = try client.receiveReply()
                    #expect(reply == .init(error: RawClient.shutdownError, cookie: cookie))
                }
                let isClosed = try client.isClosed()
                #expect(isClosed)
                try await server.ends()
            }
        }

        @Test("accepts no new client, though it has not ended yet")
        func newClients() async throws {
            try await withServer("--listen", "localhost:0") { server in
                let port = try #require(server.ports.first)
                let stuck = try await StuckClient(server)
                server.signal(SIGTERM)
                try await eventually("its addresses are gone") {
                    !exists(server.socketPath)
                        && (try? RawClient(host: "127.0.0.1", port: port)) == nil
                }
                #expect(!server.hasEnded)
                _ = try stuck.catchUp()
                try await server.ends()
            }
        }

        @Test("leaves its port free for the next server at once")
        func portIsFree() async throws {
            let port = try await withServer(start: .init(.tcp)) { server in
                let port = try #require(server.ports.first)
                try RawClient(host: "127.0.0.1", port: port).enter()
                return port
            }
            try await withServer("--listen", "127.0.0.1:\(port)", start: .init(.asTold)) { server in
                #expect(server.ports == [port])
            }
        }
    }
}
