import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("Started by a service manager") struct ServiceManager {
        @Test("serves on all sockets that it is passed, besides its own, and leaves their files")
        func passed() async throws {
            let directory = try TemporaryDirectory()
            let paths = [directory.file("one"), directory.file("two")]
            try await withServer(
                "--log-level", "debug",
                start: .init(shell: passing(paths[0], "[::1]", paths[1], names: "a:b:c"))
            ) { server in
                #expect(server.readyLines == ["nbd+unix:///?socket=\(server.socketPath)"])
                let passed = try #require(server.log.firstMatch(of: /address=\[::1\]:(\d+) name=b/))
                let port = try #require(UInt16(passed.1))
                try RawClient(unix: paths[0]).enter()
                try RawClient(host: "::1", port: port).enter()
                try RawClient(unix: paths[1]).enter()
                try RawClient(unix: server.socketPath).enter()
                #expect(server.log.contains("address=\(paths[1]) name=c"))
            }
            #expect(exists(paths[0]))
            #expect(exists(paths[1]))
        }

        @Test("listens on no other address without an option")
        func alone() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("passed")
            let notify = try NotifyReceiver(directory.file("notify"))
            let shell = "export NOTIFY_SOCKET=\(directory.file("notify"))\n"
            let server = Task {
                try await Program("sh", package: "dash").run(
                    ["-c", shell + passing(path), "sh", Program.ramdiskNBD.name, "serve"],
                    within: .seconds(20))
            }
            #expect(try notify.next() == "EXTEND_TIMEOUT_USEC=30000000")
            #expect(try notify.next() == "READY=1")
            try RawClient(unix: path).enter()
            server.cancel()
            // A signal has stopped it gracefully, and it has printed no address.
            if let ending = try? await server.value { #expect(ending.output.isEmpty) }
            #expect(exists(path))
        }

        @Test("serves clients that connected before it started")
        func early() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("early")
            let activate = Program("systemd-socket-activate", package: "systemd")
            let running = Task {
                try await activate.run(
                    ["-l", path, Program.ramdiskNBD.name, "serve", "--size", "4K"],
                    within: .seconds(20))
            }
            // The file exists a moment before the socket listens.
            var client: RawClient?
            try await eventually("the server listens") {
                client = try? RawClient(unix: path)
                return client != nil
            }
            #expect(try client?.enter() == 4096)
            running.cancel()
            _ = try? await running.value
        }

        @Test("ignores sockets that were passed to another process")
        func notOurs() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("passed")
            try await withServer(start: .init(shell: passing(path, to: "1"))) { server in
                #expect(server.readyLines.count == 1)
                try RawClient(unix: server.socketPath).enter()
            }
        }

        @Test("can be passed an abstract socket")
        func abstract() async throws {
            let name = "@ramdisk-nbd-\(UInt64.random(in: 0...(.max)))"
            try await withServer(
                "--log-level", "debug", start: .init(shell: passing(name))
            ) { server in
                #expect(server.log.contains("address=\(name) name="))
            }
        }

        @Test(
            "rejects a passed socket that does not listen, with one sentence",
            arguments: [("1", "descriptor 3"), ("x", "LISTEN_FDS"), ("-1", "LISTEN_FDS")])
        func wrong(count: String, named: String) async throws {
            let ending = try await Program("sh", package: "dash").run(
                [
                    "-c", #"LISTEN_PID=$$ LISTEN_FDS="$1" exec "$2" serve --size 4K 3</dev/null"#,
                    "sh", count, Program.ramdiskNBD.name,
                ])
            #expect(ending.status == .exited(64))
            #expect(ending.lastLine.contains(named))
        }

        @Test(
            "asks for time to make its disk, and notifies when it is ready and when it stops",
            arguments: [false, true])
        func notified(isAbstract: Bool) async throws {
            let directory = try TemporaryDirectory()
            let name =
                isAbstract
                ? "@ramdisk-nbd-\(UInt64.random(in: 0...(.max)))" : directory.file("notify")
            let socket = try NotifyReceiver(name)
            try await withServer(
                start: .init(shell: #"export NOTIFY_SOCKET="\#(name)"; exec "$@""#)
            ) { server in
                #expect(try socket.next() == "EXTEND_TIMEOUT_USEC=30000000")
                #expect(try socket.next() == "READY=1")
                server.signal(SIGTERM)
                #expect(try socket.next() == "STOPPING=1")
                try await server.ends()
            }
        }

        @Test("asks for time during all of its stop: for clients, and for a save that takes long")
        func stopping() async throws {
            let directory = try TemporaryDirectory()
            let images = directory.file("images")
            try FileManager.default.createDirectory(
                atPath: images, withIntermediateDirectories: false)
            let socket = try NotifyReceiver(directory.file("notify"))
            let shell = "export NOTIFY_SOCKET=\(directory.file("notify")); exec \"$@\""
            try await withServer(
                "--image", "\(images)/disk", start: .init(shell: shell)
            ) { server in
                for _ in 0..<2 { _ = try socket.next() }
                let stuck = try await StuckClient(server)
                // So that the disk cannot be saved.
                try FileManager.default.moveItem(atPath: images, toPath: images + ".away")
                server.signal(SIGTERM)
                #expect(try socket.next() == "STOPPING=1")
                #expect(try socket.next() == "EXTEND_TIMEOUT_USEC=30000000")
                // The server still waits for its client.
                _ = try stuck.catchUp()
                #expect(try socket.next() == "EXTEND_TIMEOUT_USEC=30000000")
                #expect(server.log.contains("exists only in this process"))
                try FileManager.default.moveItem(atPath: images + ".away", toPath: images)
                try await server.ends()
                #expect(exists("\(images)/disk"))
            }
        }

        @Test("ignores that the service manager has disappeared")
        func nobodyToNotify() async throws {
            try await withServer(
                start: .init(shell: #"export NOTIFY_SOCKET=/nowhere; exec "$@""#)
            ) { server in
                try RawClient(unix: server.socketPath).enter()
            }
        }

        @Test("has units that systemd accepts")
        func units() async throws {
            let units = URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../contrib/systemd").standardized.path
            let directory = try TemporaryDirectory()
            // The program is not installed at the path in the unit.
            let names = [
                "ramdisk-nbd.socket", "ramdisk-nbd.service", "ramdisk-nbd-up.service",
                "ramdisk-nbd@disk.service", "ramdisk-nbd-serve@disk.service",
                "ramdisk-nbd-attach@disk.service", "ramdisk-nbd-pool@disk.service",
            ]
            for name in names {
                let file = "\(units)/\(name.replacing("@disk", with: "@"))"
                let unit = text(of: file).replacing(
                    "/usr/local/bin/ramdisk-nbd", with: Program.ramdiskNBD.name)
                #expect(!unit.isEmpty)
                try unit.write(
                    toFile: directory.file(name), atomically: false, encoding: .utf8)
            }
            let ending = try await Program("systemd-analyze", package: "systemd").run(
                ["verify", "--man=no"] + names.map { directory.file($0) })
            #expect(ending.status == .exited(0))
            #expect(!ending.errors.contains("ramdisk-nbd"), "\(ending.errors)")
        }
    }
}

/// The notification socket of a service manager. sd_notify(3)
private final class NotifyReceiver: Sendable {
    private let descriptor: Int32

    init(_ name: String) throws {
        descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        if name.hasPrefix("@") { bytes[0] = 0 }
        // Sound: the name is cut to what the field holds.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { field in
            unsafe field.copyBytes(from: bytes.prefix(field.count))
        }
        let length = socklen_t(2 + bytes.count)
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, length)
            }
        }
        guard result == 0 else { throw TestError("cannot bind \(name): errno \(errno)") }
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit,
            socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Receives the next message.
    func next() throws -> String {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe recv(descriptor, &bytes, bytes.count, 0)
        guard count >= 0 else { throw TestError("the server sent no message: errno \(errno)") }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}
