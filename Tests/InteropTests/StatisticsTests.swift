import Foundation
import Harness
import Testing

extension Interop {
    @Suite("Figures") struct Figures {
        private let fio = Program("fio", package: "fio")

        @Test(
            "are fio's own",
            arguments: [
                ["--rw=randrw", "--bs=4k", "--iodepth=128", "--size=16M"],
                [
                    "--rw=randrw", "--bsrange=512-128k", "--bs_unaligned=1", "--iodepth=16",
                    "--size=16M",
                ],
                ["--rw=randwrite", "--bs=16k", "--iodepth=8", "--size=8M", "--fsync=10"],
                ["--rw=randtrimwrite", "--bs=16k", "--iodepth=4", "--size=8M"],
            ])
        func likeFio(options: [String]) async throws {
            try await withServer("--size", "16M") { server in
                let job = try await load(server, options)
                try await eventually("all is counted") {
                    try activity(of: server).latencyCount == activity(of: server).timedRequests
                }
                let ours = try activity(of: server)
                #expect(ours.requests("read") == job.read.requests)
                #expect(ours.bytes("read") == job.read.bytes)
                #expect(ours.requests("write") == job.write.requests)
                #expect(ours.bytes("write") == job.write.bytes)
                #expect(ours.requests("trim") == job.trim.requests)
                #expect(ours.bytes("trim") == job.trim.bytes)
                #expect(ours.requests("flush") == job.sync.requests)
                #expect(ours.errors.isEmpty)
                #expect(job.read.requests + job.write.requests > 300)
            }
        }

        @Test("count each kind of request and each error that libnbd makes")
        func kinds() async throws {
            try await withServer("--size", "1M", "--sparse") { server in
                _ = try await nbdsh(
                    server.uri,
                    """
                    for i in range(3): h.pwrite(b"x" * 1000, i * 1000)
                    for i in range(4): h.pread(500, i)
                    h.flush(); h.flush()
                    h.trim(4096, 8192)
                    h.zero(100, 0); h.zero(200, 0, nbd.CMD_FLAG_NO_HOLE)
                    h.cache(300, 0)
                    attempt(lambda: h.pread(1, size))
                    attempt(lambda: h.pwrite(b"xy", size))
                    attempt(lambda: h.pread(0, 0))
                    h.shutdown()
                    """)
                try await eventually("the connection is over") {
                    try activity(of: server).requests("disconnect") == 1
                }
                let ours = try activity(of: server)
                let expected: [String: (UInt64, UInt64, UInt64)] = [
                    "write": (4, 3000, 1), "read": (6, 2000, 2), "flush": (2, 0, 0),
                    "trim": (1, 4096, 0), "write_zeroes": (2, 300, 0), "cache": (1, 300, 0),
                    "disconnect": (1, 0, 0),
                ]
                #expect(Set(ours.commands.map(\.command)) == Set(expected.keys))
                for (command, (requests, bytes, errors)) in expected {
                    #expect(ours.requests(command) == requests, "\(command)")
                    #expect(ours.bytes(command) == bytes, "\(command)")
                    #expect(ours.commands.first { $0.command == command }?.errors == errors)
                }
                #expect(
                    ours.errors == [
                        .init(error: "EINVAL", requests: 2), .init(error: "ENOSPC", requests: 1),
                    ])
            }
        }

        @Test("read a hundred times a second, and a trace that no client reads, disturb no client")
        func readers() async throws {
            try await withServer("--size", "32M") { server in
                // Asks for a trace, and never reads a byte of it.
                let stuck = try RawClient(unix: server.controlPath)
                try stuck.send(Array("GET /trace HTTP/1.1\r\nHost: test\r\n\r\n".utf8))
                _ = try stuck.receiveHead()
                async let verified: Void = verifyAgainAndAgain(server)
                var answers = 0
                for _ in 0..<200 {
                    #expect(try server.ask("/metrics").status == 200)
                    answers += 1
                    try await Task.sleep(for: .milliseconds(10))
                }
                try await verified
                #expect(answers == 200)
                let stats = try server.ask("/stats").json(Figure.self)
                #expect(stats.server.traceReaders == 1)
            }
        }

        @Test("in Prometheus' format are the same")
        func metrics() async throws {
            try await withServer("--size", "16M", "--export", "a") { server in
                let job = try await load(
                    server, ["--rw=randread", "--bs=4k", "--iodepth=32", "--size=4M"])
                let read = "{export=\"a\",command=\"read\"}"
                try await eventually("all is counted") {
                    try server.ask("/metrics").text.contains(
                        "ramdisk_nbd_request_duration_seconds_count\(read) \(job.read.requests)\n")
                }
                let text = try server.ask("/metrics").text
                #expect(text.contains("ramdisk_nbd_requests_total\(read) \(job.read.requests)\n"))
                #expect(text.contains("ramdisk_nbd_bytes_total\(read) \(job.read.bytes)\n"))
                #expect(text.contains("ramdisk_nbd_errors_total{export=\"a\",error=\"EIO\"} 0\n"))
                #expect(text.contains("ramdisk_nbd_disk_sparse{export=\"a\"} 0\n"))
                let all = "{export=\"a\",command=\"read\",le=\"+Inf\"}"
                #expect(
                    text.contains(
                        "ramdisk_nbd_request_duration_seconds_bucket\(all) \(job.read.requests)\n"))
            }
        }

        /// Writes and reads all of the disk at random and verifies it, three times.
        private func verifyAgainAndAgain(_ server: ServerProcess) async throws {
            for _ in 0..<3 {
                let job = try await load(
                    server,
                    [
                        "--rw=randrw", "--bs=4k", "--iodepth=64", "--size=32M", "--verify=crc32c",
                        "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0",
                    ])
                #expect(job.error == 0)
            }
        }

        private func activity(of server: ServerProcess) throws -> Figure.Activity {
            try server.ask("/stats").json(Figure.self).server.activity
        }

        private func load(
            _ server: ServerProcess, _ options: [String]
        ) async throws -> Load.Job {
            let file = server.directory.file("report")
            try await fio(
                [
                    "--name=figures", "--ioengine=nbd", "--uri=\(server.uri)", "--randrepeat=0",
                    "--output-format=json", "--output=\(file)",
                ] + options)
            let report = try JSONDecoder().decode(Load.self, from: contents(of: file))
            return try #require(report.jobs.first)
        }
    }
}

/// What `fio --output-format=json` counts.
private struct Load: Decodable {
    struct Direction: Decodable {
        var requests: UInt64
        var bytes: UInt64

        enum CodingKeys: String, CodingKey {
            case requests = "total_ios"
            case bytes = "io_bytes"
        }
    }
    struct Sync: Decodable {
        var requests: UInt64

        enum CodingKeys: String, CodingKey { case requests = "total_ios" }
    }
    struct Job: Decodable {
        var error: Int
        var read: Direction
        var write: Direction
        var trim: Direction
        var sync: Sync
    }

    var jobs: [Job]
}

/// What `/stats` counts.
private struct Figure: Decodable {
    struct Server: Decodable {
        var traceReaders: Int
        var activity: Activity
    }
    struct Activity: Decodable {
        struct Latency: Decodable { var count: UInt64 }
        struct Command: Decodable {
            var command: String
            var requests: UInt64
            var bytes: UInt64
            var errors: UInt64
            var latency: Latency
        }
        struct ErrorCount: Decodable, Equatable {
            var error: String
            var requests: UInt64
        }

        var commands: [Command]
        var errors: [ErrorCount]

        func requests(_ name: String) -> UInt64 {
            commands.first { $0.command == name }?.requests ?? 0
        }
        func bytes(_ name: String) -> UInt64 {
            commands.first { $0.command == name }?.bytes ?? 0
        }
        /// All but disconnects, which have no reply.
        var timedRequests: UInt64 {
            commands.filter { $0.command != "disconnect" }.reduce(0) { $0 + $1.requests }
        }
        var latencyCount: UInt64 { commands.reduce(0) { $0 + $1.latency.count } }
    }

    var server: Server
}
