import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A signal") struct Signals {
        @Test("stops an idle server with status 0", arguments: [SIGTERM, SIGINT, SIGHUP])
        func idle(signal: Int32) async throws {
            try await withServer { server in
                try await server.end(with: signal)
                #expect(!exists(server.socketPath))
            }
        }

        @Test("of a terminal that disappears does not stop a server under nohup")
        func ignored() async throws {
            let start = ServerStart(shell: "trap '' HUP; exec \"$@\"")
            try await withServer(start: start) { server in
                server.signal(SIGHUP)
                server.signal(SIGUSR1)
                try await eventually("it tells its figures") { server.log.contains("resident=") }
                #expect(!server.log.contains("stopping"))
            }
        }

        @Test(
            "stops a server with clients in every phase, with status 0",
            arguments: [SIGTERM, SIGINT])
        func clients(signal: Int32) async throws {
            try await withServer("--listen", "localhost:0") { server in
                let port = try #require(server.ports.first)
                let silent = try RawClient(unix: server.socketPath)
                let idle = try RawClient(unix: server.socketPath)
                try idle.enter()
                let busy = try RawClient(host: "127.0.0.1", port: port)
                try busy.enter()
                try busy.write([1], at: 0)
                // In the middle of a header.
                try busy.send(Array(RawClient.request(.read, length: 1).prefix(10)))
                try await server.end(with: signal)
                let closed = try idle.isClosed() && busy.isClosed()
                #expect(closed)
                _ = silent
            }
        }

        @Test("closes a client that does not read its replies, after a while")
        func stuck() async throws {
            try await withServer { server in
                let stuck = try await StuckClient(server)
                try await server.end(with: SIGTERM)
                stuck.leave()
            }
        }

        @Test("received twice ends the server at once", arguments: [SIGTERM, SIGINT])
        func second(signal: Int32) async throws {
            try await withServer(start: .init(ending: .exited(128 + signal))) { server in
                let stuck = try await StuckClient(server)
                server.signal(SIGTERM)
                try await eventually("it stops") { server.log.contains("stopping") }
                try await server.end(with: signal)
                #expect(!server.log.contains("stopped"))
                stuck.leave()
            }
        }

        @Test("received twice in a row leaves no file behind")
        func atOnce() async throws {
            let directory = try TemporaryDirectory()
            for _ in 0..<10 {
                let path = directory.file("pid")
                try await withServer(
                    "--pid-file", path, start: .init(ending: .exited(128 + SIGINT))
                ) { server in
                    let stuck = try await StuckClient(server)
                    server.signal(SIGTERM)
                    try await eventually("it stops") { server.log.contains("stopping") }
                    try await server.end(with: SIGINT)
                    #expect(!exists(server.socketPath))
                    #expect(!exists(path))
                    stuck.leave()
                }
            }
        }

        @Test("that ends the start sets the exit status", arguments: [SIGTERM, SIGINT])
        func interruptedStart(signal: Int32) async throws {
            let directory = try TemporaryDirectory()
            // Reading the keys waits for a writer of the pipe.
            let ending = try await Program("sh", package: "dash").run(
                [
                    "-c",
                    """
                    mkfifo "$1/keys"
                    "$2" serve --unix "$1/socket" --tls-psk "$1/keys" &
                    exec 3>"$1/keys"
                    kill -\(signal) $!
                    wait $!
                    """, "sh", directory.path, Program.ramdiskNBD.name,
                ], within: .seconds(20))
            #expect(ending.status == .exited(128 + signal))
        }

        @Test("SIGUSR1 logs the memory that each disk uses")
        func statistics() async throws {
            try await withServer(
                "--export", "one=8M", "--export", "two=1M", "--sparse"
            ) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("one")
                try client.write([UInt8](repeating: 7, count: 1 << 20), at: 1 << 20)
                server.signal(SIGUSR1)
                try await eventually("it tells") {
                    server.log.contains("disk export=\"one\" resident=1048576 size=8388608")
                        && server.log.contains("disk export=\"two\" resident=0 size=1048576")
                }
                try client.write([1], at: 0)
            }
        }

        @Test("SIGUSR1 logs that a disk that is not sparse uses all of its memory")
        func figuresProvisioned() async throws {
            try await withServer("--size", "8M") { server in
                server.signal(SIGUSR1)
                try await eventually("it tells") {
                    server.log.contains("disk export=\"\" resident=8388608 size=8388608")
                }
            }
        }
    }
}
