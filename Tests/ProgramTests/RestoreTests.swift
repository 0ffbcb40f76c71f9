import Foundation
import Glibc
import Harness
import Testing

extension ProgramSuite {
    @Suite("A large image, which is restored while its disk is served,") struct Restores {
        private static let size = 48 << 20
        private let directory: TemporaryDirectory
        private let image: String
        private let data: String

        /// Saves a disk full of random bytes.
        init() async throws {
            directory = try TemporaryDirectory()
            image = directory.file("disk.img")
            data = try directory.randomFile(bytes: Self.size)
            try await withServer("--size", "\(Self.size)", "--image", image) { [data] server in
                try await Program("nbdcopy", package: "libnbd-bin")(data, server.uri)
            }
        }

        private var options: [String] { ["--image", image] }

        private func expectDisk(of server: ServerProcess, toEqual expected: Data) throws {
            let client = try RawClient(unix: server.socketPath)
            #expect(try client.enter() == UInt64(Self.size))
            // From the end, so that it is not there yet.
            for offset in stride(from: Self.size - 1 << 20, through: 0, by: -1 << 20) {
                let bytes = try client.read(at: UInt64(offset), count: 1 << 20)
                guard Data(bytes) == expected[offset..<offset + 1 << 20] else {
                    Issue.record("a wrong byte in the MiB at \(offset)")
                    return
                }
            }
        }

        private func post(_ target: String, to server: ServerProcess) throws -> HTTPResponse {
            try RawClient(unix: server.controlPath).ask(target, method: "POST")
        }

        private func contents(_ path: String) throws -> Data {
            try Data(contentsOf: URL(filePath: path))
        }

        /// Whether a file has these contents. An expectation that compares the data itself would list every
        /// difference when it fails, which takes minutes.
        private func holds(_ path: String, _ expected: Data) throws -> Bool {
            try contents(path) == expected
        }

        @Test("has the right bytes from the first request on", arguments: [false, true])
        func reads(isSparse: Bool) async throws {
            let expected = try contents(data)
            try await withServer(options + (isSparse ? ["--sparse"] : [])) { server in
                try expectDisk(of: server, toEqual: expected)
                try await eventually("it is restored") { server.log.contains("restored the disk") }
                try expectDisk(of: server, toEqual: expected)
                #expect(try server.ask("/saves").json([RestoreSaved].self)[0].restore == nil)
            }
            #expect(try holds(image, expected))
        }

        @Test("is saved with what was written meanwhile, and not when nothing was")
        func writes() async throws {
            let before = try contents(data)
            let written = Self.size - 7000..<Self.size - 2000
            let expected =
                before[..<written.lowerBound] + Data(repeating: 1, count: written.count)
                + before[written.upperBound...]
            let state = try contents(image + ".state")
            try await withServer(options) { _ in }
            #expect(try holds(image, before))
            try await withServer(options) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write(
                    [UInt8](repeating: 1, count: written.count), at: UInt64(written.lowerBound))
            }
            #expect(try holds(image, expected))
            #expect(try !holds(image + ".state", state))
            try await withServer(options) { try expectDisk(of: $0, toEqual: expected) }
        }

        @Test("can be saved, and the disk snapshot and cloned, at once: these wait for the rest")
        func commands() async throws {
            let expected = try contents(data)
            try await withServer(options) { server in
                let answers = try [
                    "/snapshots?name=a", "/clones?name=b",
                    "/saves?path=\(directory.file("copy.img"))",
                ].map { try post($0, to: server) }
                for answer in answers { #expect(answer.status == 200, "\(answer.text)") }
                #expect(try holds(directory.file("copy.img"), expected))
                for name in ["@a", "b"] {
                    let client = try RawClient(unix: server.socketPath)
                    try client.enter(name)
                    let end = UInt64(Self.size) - 4096
                    #expect(try Data(client.read(at: end, count: 4096)) == expected.suffix(4096))
                }
            }
        }

        @Test("survives SIGKILL at any moment of it", arguments: 0..<3)
        func killed(round: Int) async throws {
            let expected = try contents(data)
            let state = try contents(image + ".state")
            for kill in 0..<5 {
                let start = ServerStart(ending: .signalled(SIGKILL))
                try await withServer(options, start: start) { server in
                    try await Task.sleep(for: .milliseconds(Int.random(in: 0...40)))
                    try await server.end(with: SIGKILL)
                }
                #expect(try holds(image, expected), "kill \(kill)")
                #expect(try holds(image + ".state", state), "kill \(kill)")
            }
            try await withServer(options) { try expectDisk(of: $0, toEqual: expected) }
        }

        @Test("gives no wrong byte where it is damaged, says so everywhere, and is not saved over")
        func damaged() async throws {
            let intact = try contents(image)
            var damaged = intact
            damaged[30 << 20 + 17] ^= 1
            try damaged.write(to: URL(filePath: image))
            let reason =
                "\(image) is not as it was saved: the checksum of the piece at offset 31457280"
            let start = ServerStart(ending: .signalled(SIGKILL))
            try await withServer(options + ["--save-every", "1s"], start: start) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.send(RawClient.request(.read, offset: 30 << 20, length: 4096))
                #expect(try client.receiveReply().error == UInt32(EIO))
                let neighbour = try Data(client.read(at: 29 << 20, count: 1 << 20))
                let isIntact = neighbour == intact[29 << 20..<30 << 20]
                #expect(isIntact)
                try client.write([1, 2, 3], at: 5)
                try await eventually("it says so") { server.log.contains(reason) }
                let saved = try server.ask("/saves").json([RestoreSaved].self)[0]
                let restore = try #require(saved.restore)
                #expect(restore.error?.contains(reason) == true)
                #expect(restore.bytesDone < restore.bytesTotal)
                #expect(
                    try server.ask("/metrics").text.contains("restore_failed{export=\"\"} 1.0\n"))
                // All pieces but the damaged one are there in the end.
                try await eventually("stats says how far it has got") {
                    try await Program.ramdiskNBD("stats", "--control", server.controlPath)
                        .contains("restoring 9")
                }
                for path in ["/saves", "/snapshots?name=a"] {
                    let answer = try post(path, to: server)
                    #expect(answer.status != 200 && answer.text.contains(reason), "\(answer.text)")
                }
                try await eventually("an interval has passed") {
                    try server.ask("/saves").json([RestoreSaved].self)[0].failures > 0
                }
                server.signal(SIGTERM)
                try await eventually("it says that it is not saved") {
                    server.log.contains("exists only in this process")
                }
                try await server.end(with: SIGKILL)
            }
            #expect(try holds(image, damaged))
            let ending = try await Program.ramdiskNBD.run(
                ["serve", "--listen", "localhost:0", "--no-control", "--restore-first"] + options)
            #expect(ending.status == .exited(66))
            #expect(ending.isOneSentence(naming: reason), "\(ending.errors)")
            #expect(try holds(image, damaged))
        }

        /// Writes a byte at 20 MiB of the image.
        private func put(_ byte: UInt8) throws {
            let file = try FileHandle(forUpdating: URL(filePath: image))
            try file.seek(toOffset: 20 << 20)
            try file.write(contentsOf: [byte])
        }

        @Test("leaves connections that began before its end without a buffer after that")
        func buffers() async throws {
            let byte = try contents(image)[20 << 20]
            try put(~byte)
            try await withServer(options) { server in
                let clients = try (0..<40).map { _ in try RawClient(unix: server.socketPath) }
                for client in clients {
                    try client.enter()
                    _ = try client.read(at: 0, count: 1 << 20)
                }
                // All pieces but one are there.
                try await eventually("it says so") { server.log.contains("cannot be restored") }
                try await Task.sleep(for: .milliseconds(500))
                let before = server.memory("RssAnon")
                try put(byte)
                try await eventually("it is restored") { server.log.contains("restored the disk") }
                for client in clients { _ = try client.read(at: 0, count: 1) }
                #expect(server.memory("RssAnon") < before - 30 << 20)
            }
        }

        @Test("is completed once it has been repaired, and then saved")
        func repaired() async throws {
            let intact = try contents(image)
            try put(~intact[20 << 20])
            try await withServer(options) { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                try client.write([9], at: 0)
                try await eventually("it says so") { server.log.contains("cannot be restored") }
                try put(intact[20 << 20])
                try await eventually("it is restored") { server.log.contains("restored the disk") }
                #expect(try client.read(at: 20 << 20, count: 1) == [intact[20 << 20]])
            }
            #expect(try holds(image, [9] + intact.dropFirst()))
        }
    }
}

/// What is known of the saves and the restore of a disk.
private struct RestoreSaved: Decodable {
    struct Restore: Decodable {
        var bytesDone: UInt64
        var bytesTotal: UInt64
        var error: String?
    }

    var restore: Restore?
    var failures: Int
}
