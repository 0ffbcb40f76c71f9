import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("Admission") struct Admission {
        private let nbdinfo = Program("nbdinfo", package: "libnbd-bin")
        private let setpriv = Program("setpriv", package: "util-linux")

        @Test("accepts clients from an allowed network only")
        func networks() async throws {
            try await withServer(
                "--allow-network", "127.0.0.0/30", "--allow-network", "::1", start: .init(.tcp)
            ) { server in
                let port = try #require(server.ports.first)
                try RawClient(host: "127.0.0.1", port: port).enter()
                if server.ports.count == 2 { try RawClient(host: "::1", port: port).enter() }
            }
            try await withServer(
                "--allow-network", "192.0.2.0/24", "--allow-network", "2001:db8::/32",
                start: .init(.tcp)
            ) { server in
                for uri in server.readyLines {
                    let host = uri.contains("[::1]") ? "::1" : "127.0.0.1"
                    let port = try #require(server.ports.first)
                    let isClosed = try RawClient(host: host, port: port).isClosed()
                    #expect(isClosed)
                    #expect(
                        server.log.contains("client rejected: not permitted by --allow-network"))
                }
                #expect(server.log.contains("peer=127.0.0.1:"))
            }
        }

        @Test("compares an IPv4 client of a socket for both families with IPv4 networks")
        func mapped() async throws {
            try await withServer(
                "--allow-network", "127.0.0.1", "--log-level", "debug",
                start: .init(shell: passing("[::ffff:127.0.0.1]"))
            ) { server in
                let passed = try #require(server.log.firstMatch(of: /127.0.0.1\]:(\d+) name=/))
                let port = try #require(UInt16(passed.1))
                try RawClient(host: "127.0.0.1", port: port).enter()
            }
        }

        @Test(
            "rejects an option that no socket is subject to, not even a passed one",
            arguments: [
                ("[::1]", ["--allow-user", "0"], "--allow-user"),
                ("[::1]", ["--allow-group", "0"], "--allow-group"),
                ("socket", ["--allow-network", "127.0.0.1"], "--allow-network 127.0.0.1"),
            ])
        func passedWithoutEffect(socket: String, options: [String], named: String) async throws {
            let directory = try TemporaryDirectory()
            let address = socket.hasPrefix("[") ? socket : directory.file(socket)
            let ending = try await Program("sh", package: "dash").run(
                ["-c", passing(address), "sh", Program.ramdiskNBD.name, "serve", "--size", "4K"]
                    + options)
            #expect(ending.status == .exited(64))
            #expect(ending.isOneSentence(naming: named), "\(ending.errors)")
        }

        @Test("accepts allowed users only", .enabled(if: geteuid() == 0))
        func users() async throws {
            try await withServer("--unix-mode", "666", "--allow-user", "nobody") { server in
                try await isServed(
                    as: ["--reuid=65534", "--regid=65534", "--clear-groups"], server)
                try await isRefused(
                    as: ["--reuid=65533", "--regid=65534", "--clear-groups"], server)
                // Not even root is accepted.
                let isClosed = try RawClient(unix: server.socketPath).isClosed()
                #expect(isClosed)
                #expect(server.log.contains("peer=\"user 65533 (process "))
            }
        }

        @Test(
            "accepts members of an allowed group, by either kind of membership",
            .enabled(if: geteuid() == 0))
        func groups() async throws {
            try await withServer(
                "--unix-mode", "666", "--allow-group", "12345", "--allow-user", "0"
            ) { server in
                try await isServed(
                    as: ["--reuid=65534", "--regid=12345", "--clear-groups"], server)
                try await isServed(
                    as: ["--reuid=65534", "--regid=65534", "--groups=7,12345"], server)
                try await isRefused(as: ["--reuid=65534", "--regid=65534", "--groups=7"], server)
                try RawClient(unix: server.socketPath).enter()
            }
        }

        private func isServed(as user: [String], _ server: ServerProcess) async throws {
            let ending = try await setpriv.run(user + ["nbdinfo", "--size", server.uri])
            #expect(ending.status == .exited(0), "\(ending.errors)")
        }

        private func isRefused(as user: [String], _ server: ServerProcess) async throws {
            let ending = try await setpriv.run(user + ["nbdinfo", "--size", server.uri])
            #expect(ending.status == .exited(1), "\(ending.output)")
        }

        @Test("logs the first of many rejected clients, and then how many there were")
        func logged() async throws {
            let log = try await withServer("--allow-network", "192.0.2.1", start: .init(.tcp)) {
                server in
                let port = try #require(server.ports.first)
                for _ in 0..<100 {
                    let isClosed = try RawClient(host: "127.0.0.1", port: port).isClosed()
                    #expect(isClosed)
                }
                try await server.end(with: SIGTERM)
                return server.log
            }
            let lines = log.split(separator: "\n").filter { $0.contains("client rejected") }
            // One line at once, one for every ten seconds that it took, and one at the end.
            #expect(lines.count >= 2 && lines.count < 20)
            let times = lines.compactMap { $0.firstMatch(of: /times=(\d+)/).flatMap { Int($0.1) } }
            #expect(times.reduce(1, +) == 100)
        }

        @Test("limits the number of connections from one address")
        func perAddress() async throws {
            try await withServer(
                "--max-connections-per-address", "2", "--listen", "127.0.0.1:0"
            ) { server in
                let port = try #require(server.ports.first)
                let first = try RawClient(host: "127.0.0.1", port: port)
                try first.enter()
                // A connection in the handshake counts too.
                let second = try RawClient(host: "127.0.0.1", port: port)
                _ = try second.receive(18)
                let isClosed = try RawClient(host: "127.0.0.1", port: port).isClosed()
                #expect(isClosed)
                #expect(server.log.contains("--max-connections-per-address is reached limit=2"))
                // A local user is another source than that address.
                let local = try RawClient(unix: server.socketPath)
                try local.enter()
                try first.send(RawClient.request(.disconnect))
                let hasEnded = try first.isClosed()
                #expect(hasEnded)
                try RawClient(host: "127.0.0.1", port: port).enter()
                _ = second
            }
        }

        @Test(
            "depends on the mode of the socket's file, whatever the umask",
            arguments: ["600", "0666", "777"])
        func mode(mode: String) async throws {
            try await withServer(
                "--unix-mode", mode, start: .init(shell: #"umask 077; exec "$@""#)
            ) { server in
                let attributes = try FileManager.default.attributesOfItem(atPath: server.socketPath)
                let found = (attributes[.posixPermissions] as? NSNumber)?.uint16Value
                #expect(found == UInt16(mode, radix: 8))
                try RawClient(unix: server.socketPath).enter()
            }
        }

        @Test("depends on the owner of the socket's file", .enabled(if: geteuid() == 0))
        func owner() async throws {
            try await withServer(
                "--unix-mode", "600", "--unix-owner", "nobody:12345"
            ) { server in
                var status = stat()
                unsafe lstat(server.socketPath, &status)
                #expect(status.st_uid == 65_534)
                #expect(status.st_gid == 12_345)
                try await isServed(
                    as: ["--reuid=65534", "--regid=65534", "--clear-groups"], server)
                try await isRefused(
                    as: ["--reuid=65533", "--regid=12345", "--clear-groups"], server)
            }
        }

        @Test("cannot set an owner without being root, and says so in one sentence")
        func ownerNotPermitted() async throws {
            let directory = try TemporaryDirectory()
            unsafe chmod(directory.path, 0o777)
            let path = directory.file("socket")
            let ending = try await Program.ramdiskNBD.run(
                ["serve", "--size", "4K", "--unix", path, "--unix-owner", "root"], as: .unprivileged
            )
            #expect(ending.status == .exited(77))
            #expect(ending.lastLine.contains("--unix-owner"))
            #expect(!exists(path))
        }
    }
}
