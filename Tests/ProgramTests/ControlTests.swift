import Foundation
internal import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("The control socket") struct Control {
        @Test("returns statistics as JSON, whole and in parts")
        func statistics() async throws {
            try await withServer("--export", "a=8M", "--export", "b=4M") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter("b")
                try client.write([1, 2, 3], at: 0)
                try await eventually("the write is counted") {
                    let stats = try server.ask("/stats").json(Stats.self)
                    return stats.disks[1].activity.commands.first?.requests == 1
                }
                let stats = try server.ask("/stats").json(Stats.self)
                #expect(stats.server.pid == server.pid)
                #expect(stats.server.isCounting)
                #expect(stats.server.openConnections == 1)
                #expect(stats.disks.map(\.export) == ["a", "b"])
                #expect(stats.disks.map(\.sizeBytes) == [8 << 20, 4 << 20])
                #expect(stats.disks.map(\.openConnections) == [0, 1])
                #expect(stats.connections.map(\.export) == ["b"])
                #expect(stats.connections[0].client.contains("process \(getpid())"))
                #expect(stats.connections[0].activity == stats.disks[1].activity)
                #expect(stats.disks[0].activity.commands.isEmpty)
                let disks = try server.ask("/disks").json([Stats.Disk].self)
                #expect(disks.map(\.export) == ["a", "b"])
                let connections = try server.ask("/connections").json([Stats.Connection].self)
                #expect(connections.map(\.number) == stats.connections.map(\.number))
            }
        }

        @Test(
            "rejects requests for resources that do not exist",
            arguments: zip(
                ["/", "/stat", "/trace?comand=read", "/trace?count=0", "/trace?offset=9-1"],
                [404, 404, 400, 400, 400]))
        func refusals(target: String, status: Int) async throws {
            try await withServer("--size", "1M") { server in
                let answer = try server.ask(target)
                #expect(answer.status == status)
                #expect(answer.text.hasSuffix("\n"))
            }
        }

        @Test("responds to GET only, and to several requests on one connection")
        func methods() async throws {
            try await withServer("--size", "1M") { server in
                let asker = try RawClient(unix: server.controlPath)
                let post = try asker.ask("/stats", method: "POST")
                #expect(post.status == 405)
                #expect(post.headers["allow"] == "GET")
                for _ in 0..<3 {
                    let health = try asker.ask("/healthz")
                    #expect(health.status == 200)
                    #expect(health.text == "ok\n")
                }
            }
        }

        @Test("does not perform a request that is malformed behind its head")
        func malformed() async throws {
            try await withServer("--size", "1M") { server in
                let asker = try RawClient(unix: server.controlPath)
                let head = "POST /snapshots?name=a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                try asker.send(Array((head + "this is no length\r\n").utf8))
                let status = "HTTP/1.1 400 Bad Request\r\n"
                #expect(try asker.receive(status.utf8.count) == Array(status.utf8))
                #expect(try server.ask("/snapshots").text == "[]\n")
            }
        }

        @Test("has the mode 0600, and is removed when its server ends")
        func file() async throws {
            let path = try await withServer("--size", "1M") { server in
                let file = try mode(of: server.controlPath)
                #expect(file == S_IFSOCK | 0o600)
                let directory = try mode(of: server.directory.file("ramdisk-nbd"))
                #expect(directory == S_IFDIR | 0o700)
                return server.controlPath
            }
            #expect(!exists(path))
        }

        @Test("refuses other users", .enabled(if: geteuid() == 0, "only root can be two users"))
        func otherUsers() async throws {
            try await withServer("--size", "1M") { server in
                let target = "http://localhost/stats"
                let curl = Program("curl", package: "curl")
                let arguments = ["-sS", "--unix-socket", server.controlPath, target]
                try await curl(arguments)
                // Only the mode of the socket keeps the user out.
                for folder in [server.directory.path, server.directory.file("ramdisk-nbd")] {
                    #expect(unsafe chmod(folder, 0o755) == 0)
                }
                let ending = try await curl.run(arguments, as: .unprivileged)
                #expect(ending.status == .exited(7))
                #expect(ending.output.isEmpty)
                // The mode of the socket lets the user in too.
                #expect(unsafe chmod(server.controlPath, 0o666) == 0)
                let other = try await curl.run(arguments, as: .unprivileged)
                #expect(!other.status.isSuccess)
                #expect(other.output.isEmpty)
            }
        }

        @Test(
            "is found by its user and by root without the variables of a session",
            .enabled(if: geteuid() == 0, "only root can be two users"))
        func ordinaryUser() async throws {
            let script = """
                unset XDG_RUNTIME_DIR RUNTIME_DIRECTORY
                as_nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
                $as_nobody "$1" serve --size 4K --listen localhost:0 >"$2/out" &
                pid=$!
                until [ -s "$2/out" ]; do sleep 0.01; done
                $as_nobody "$1" stats --json --control $pid
                "$1" stats --json --control $pid
                kill $pid
                wait $pid
                """
            let directory = try TemporaryDirectory()
            let ending = try await Program("sh", package: "dash").run(
                ["-c", script, "sh", Program.ramdiskNBD.name, directory.path])
            #expect(ending.status == .exited(0))
            #expect(ending.output.split(separator: "\n").count == 2, "\(ending)")
            #expect(!ending.errors.contains("no control socket was opened"))
        }

        @Test("of a killed server is removed when a command finds it")
        func leftover() async throws {
            let killed = ServerStart(ending: .signalled(SIGKILL))
            try await withServer("--size", "4K", start: killed) { server in
                // Servers of other tests may be listed.
                #expect(try await list(in: server).contains(server.socketPath))
                try await server.end(with: SIGKILL)
                #expect(exists(server.controlPath))
                #expect(try await !list(in: server).contains(server.socketPath))
                #expect(!exists(server.controlPath))
            }
        }

        @Test("is listed with the address of its server if there are several servers")
        func several() async throws {
            try await withServer("--size", "4K") { server in
                let other = server.directory.file("other.sock")
                let start = ServerStart(
                    shell:
                        #"export RUNTIME_DIRECTORY='\#(server.directory.file("ramdisk-nbd"))'; exec "$@""#
                )
                try await withServer("--size", "4K", "--unix", other, start: start) { second in
                    let ending = try await stats(in: server)
                    #expect(ending.status == .exited(64))
                    for line in [
                        "\(server.controlPath) (nbd+unix:///?socket=\(server.socketPath))",
                        "/\(second.pid).control (nbd+unix:///?socket=\(second.socketPath), "
                            + "nbd+unix:///?socket=\(other))",
                    ] {
                        #expect(ending.errors.contains(line), "\(ending.errors)")
                    }
                }
            }
        }

        @Test("that does not respond has its server in the list, with the reason")
        func stuck() async throws {
            try await withServer("--size", "4K") { server in
                server.signal(SIGSTOP)
                defer { server.signal(SIGCONT) }
                async let objects = list("--json", in: server)
                let table = try await list(in: server)
                #expect(table.contains("the server at \(server.controlPath) does not respond"))
                struct Disk: Decodable {
                    var pid: Int32?
                    var state: String
                    var size: UInt64?
                }
                let disks = try JSONDecoder().decode(
                    [Disk].self, from: Data(try await objects.utf8))
                let disk = try #require(disks.first { $0.pid == server.pid })
                #expect(disk.state == "served")
                #expect(disk.size == nil)
            }
        }

        /// What `list` prints of servers in this server's directory, besides others.
        private func list(_ options: String..., in server: ServerProcess) async throws -> String {
            try await Program("env", package: "coreutils")(
                [
                    "RUNTIME_DIRECTORY=\(server.directory.file("ramdisk-nbd"))",
                    Program.ramdiskNBD.name, "list",
                ] + options)
        }

        /// The statistics of the only server whose control socket is in this server's directory.
        private func stats(in server: ServerProcess) async throws -> Program.Ending {
            try await Program("env", package: "coreutils").run([
                "RUNTIME_DIRECTORY=\(server.directory.file("ramdisk-nbd"))",
                Program.ramdiskNBD.name, "stats",
            ])
        }

        @Test("can have another path, or not exist")
        func places() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("here")
            try await withServer("--size", "1M", "--control", path) { server in
                #expect(try RawClient(unix: path).ask("/healthz").status == 200)
                #expect(!exists(server.controlPath))
                let ending = try await Program.ramdiskNBD.run(
                    ["serve", "--listen", "localhost:0", "--control", path])
                #expect(ending.status == .exited(69))
                #expect(ending.isOneSentence(naming: path, "--control"))
            }
            try await withServer("--size", "1M", "--no-control") { server in
                #expect(!exists(server.controlPath))
            }
        }

        @Test("serves statistics and traces, which a metrics address does not")
        func metrics() async throws {
            try await withServer("--size", "1M", "--metrics-listen", "127.0.0.1:0") { server in
                let address = server.log.split(separator: "metrics at http://127.0.0.1:").last
                let port = try #require(UInt16(address?.prefix { $0.isNumber } ?? ""))
                let asker = try RawClient(host: "127.0.0.1", port: port)
                let metrics = try asker.ask("/metrics")
                #expect(
                    metrics.headers["content-type"]?.hasPrefix("text/plain; version=0.0.4") == true)
                #expect(
                    metrics.text.contains("\nramdisk_nbd_disk_size_bytes{export=\"\"} 1048576\n"))
                #expect(try asker.ask("/healthz").status == 200)
                for target in ["/stats", "/trace", "/connections", "/disks"] {
                    #expect(try asker.ask(target).status == 404)
                }
            }
        }

        @Test("serves its user however many clients request metrics")
        func crowd() async throws {
            try await withServer("--size", "1M", "--metrics-listen", "127.0.0.1:0") { server in
                let address = server.log.split(separator: "metrics at http://127.0.0.1:").last
                let port = try #require(UInt16(address?.prefix { $0.isNumber } ?? ""))
                var crowd: [RawClient] = []
                for _ in 0..<300 {
                    let client = try RawClient(host: "127.0.0.1", port: port)
                    try? client.send(Array("GET / HTTP/1.1\r\nA: ".utf8))
                    crowd.append(client)
                }
                // When all of those connections are in use, one more is closed at once.
                let late = try RawClient(host: "127.0.0.1", port: port)
                #expect(throws: RawClient.Ended.self) { try late.receive(1) }
                #expect(try server.ask("/healthz").status == 200)
            }
        }

        @Test("costs no thread and no wake-up before its first client")
        func idle() async throws {
            try await withServer("--size", "1M") { server in
                // It starts while the server becomes ready.
                try await eventually("its thread is there") {
                    try server.threadNames().contains("control")
                }
                let names = try server.threadNames()
                // The first is the program's own; nothing of Swift's tasks, nor of the HTTP library.
                let plain = ["ramdisk-nbd", "signals", "control", "refused-calls"]
                #expect(names.allSatisfy { plain.contains($0) || $0.hasPrefix("nbd-") })
                _ = try server.ask("/healthz")
                #expect(try server.threadNames().contains { $0.hasPrefix("NIO") })
            }
        }

        private func mode(of path: String) throws -> mode_t {
            var status = stat()
            guard unsafe lstat(path, &status) == 0 else { throw TestError("\(path) is not there") }
            return status.st_mode
        }
    }
}

/// The parts of the response to `/stats` that tests read.
struct Stats: Decodable {
    struct Server: Decodable {
        var pid: Int32
        var isCounting: Bool
        var openConnections: Int
    }
    struct Disk: Decodable {
        var export: String
        var sizeBytes: UInt64
        var openConnections: Int
        var activity: Activity
    }
    struct Connection: Decodable {
        var number: UInt64
        var client: String
        var export: String?
        var activity: Activity
    }
    struct Activity: Decodable, Equatable {
        struct Command: Decodable, Equatable {
            var command: String
            var requests: UInt64
            var bytes: UInt64
        }
        var commands: [Command]
    }

    var server: Server
    var disks: [Disk]
    var connections: [Connection]
}

extension ServerProcess {
    /// The names of its threads. proc(5)
    fileprivate func threadNames() throws -> [String] {
        try entries("task").map { text(of: "/proc/\(pid)/task/\($0)/comm") }
            .map { $0.trimmingSuffix("\n") }
    }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}
