import Foundation
import Harness
import Testing

extension ProgramSuite {
    @Suite("TCP addresses") struct Addresses {
        private let program = Program.ramdiskNBD

        @Test("with port 0 are printed with the chosen port, which is the same for both families")
        func portZero() async throws {
            try await withServer("--listen", "localhost:0", start: .init(.asTold)) { server in
                let port = try #require(server.ports.first)
                #expect(port > 0)
                #expect(server.readyLines == ["nbd://127.0.0.1:\(port)", "nbd://[::1]:\(port)"])
                for host in ["127.0.0.1", "::1"] {
                    let size = try RawClient(host: host, port: port).enter()
                    #expect(size == 40 << 20)
                }
            }
        }

        @Test("can be of IPv6 alone")
        func ipv6() async throws {
            try await withServer("--listen", "[::1]:0", start: .init(.asTold)) { server in
                let port = try #require(server.ports.first)
                #expect(server.readyLines == ["nbd://[::1]:\(port)"])
                try RawClient(host: "::1", port: port).enter()
                #expect(throws: TestError.self) { try RawClient(host: "127.0.0.1", port: port) }
            }
        }

        @Test("can be all addresses of the machine")
        func everyAddress() async throws {
            try await withServer("--listen", "*:0", start: .init(.asTold)) { server in
                let port = try #require(server.ports.first)
                // One name for both families, to which a client can connect.
                #expect(server.readyLines == ["nbd://localhost:\(port)"])
                for host in ["127.0.0.1", "::1"] { try RawClient(host: host, port: port).enter() }
            }
        }

        @Test("can be several, with Unix sockets among them, and all serve one disk")
        func many() async throws {
            try await withServer(
                "--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", "127.0.0.1:0"
            ) { server in
                #expect(server.readyLines.count == 4)
                #expect(Set(server.ports).count == 3)
                let writer = try RawClient(unix: server.socketPath)
                try writer.enter()
                try writer.write([1, 2, 3], at: 5)
                for (host, port) in zip(["127.0.0.1", "::1", "127.0.0.1"], server.ports) {
                    let reader = try RawClient(host: host, port: port)
                    try reader.enter()
                    let bytes = try reader.read(at: 5, count: 3)
                    #expect(bytes == [1, 2, 3])
                }
            }
        }

        @Test("of too great a number are rejected with one sentence")
        func tooMany() async throws {
            let arguments = (0..<80).flatMap { _ in ["--listen", "127.0.0.1:0"] }
            let ending = try await program.run(["serve"] + arguments, within: .seconds(20))
            #expect(ending.status == .exited(64) || ending.status == .exited(69))
            #expect(ending.errors.contains("--listen"))
        }

        @Test("in use are named, and addresses opened before them are closed")
        func inUse() async throws {
            try await withServer(start: .init(.tcp)) { server in
                let port = try #require(server.ports.first)
                let directory = try TemporaryDirectory()
                let ending = try await program.run(
                    [
                        "serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:\(port)",
                        "--unix", directory.file("socket"), "--pid-file", directory.file("pid"),
                    ])
                #expect(ending.status == .exited(69))
                #expect(ending.output.isEmpty)
                #expect(ending.isOneSentence(naming: "127.0.0.1:\(port)", "in use"))
                #expect(!exists(directory.file("socket")))
                #expect(!exists(directory.file("pid")))
                try RawClient(host: "127.0.0.1", port: port).enter()
            }
        }

        @Test("in use are named with their option if they are for metrics")
        func metricsInUse() async throws {
            try await withServer(start: .init(.tcp)) { server in
                let port = try #require(server.ports.first)
                let ending = try await program.run(
                    [
                        "serve", "--size", "4K", "--listen", "127.0.0.1:0", "--metrics-listen",
                        "127.0.0.1:\(port)",
                    ])
                #expect(ending.status == .exited(69))
                #expect(ending.isOneSentence(naming: "another with --metrics-listen"))
            }
        }

        @Test("that the user may not use are named", .enabled(if: lowPortsAreProtected))
        func notPermitted() async throws {
            let ending = try await program.run(
                ["serve", "--size", "4K", "--listen", "127.0.0.1:80"],
                as: .unprivileged)
            #expect(ending.status == .exited(77))
            #expect(ending.isOneSentence(naming: "127.0.0.1:80", "permission denied"))
        }

        @Test("that do not belong to this machine are named")
        func foreign() async throws {
            let ending = try await program.run(
                ["serve", "--listen", "192.0.2.1:10809"])
            #expect(ending.status == .exited(69))
            #expect(ending.isOneSentence(naming: "192.0.2.1:10809"))
        }

        @Test("of a host that does not exist are named")
        func unknownHost() async throws {
            let ending = try await program.run(
                ["serve", "--listen", "nowhere.invalid:10809"], within: .seconds(30))
            #expect(ending.status == .exited(69))
            #expect(ending.isOneSentence(naming: "nowhere.invalid"))
        }

        /// Whether users other than root cannot use low ports. Some machines let them.
        private static var lowPortsAreProtected: Bool {
            let first = text(of: "/proc/sys/net/ipv4/ip_unprivileged_port_start")
            return (Int(first.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 1024) > 80
        }
    }
}
