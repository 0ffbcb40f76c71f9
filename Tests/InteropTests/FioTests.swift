import Foundation
import Harness
import Testing

extension Interop {
    @Suite("fio") struct Fio {
        private let fio = Program("fio", package: "fio")

        @Test("verifies random reads and writes, 128 in flight on one connection")
        func deep() async throws {
            try await withServer("--size", "40M") { server in
                let job = try await run(
                    server, "--rw=randrw", "--bs=4k", "--iodepth=128", "--size=32M")
                #expect(job.error == 0)
                #expect(job.depths[">=64", default: 0] > 50, "it had too few in flight")
                // One to look at the disk, one to work.
                #expect(server.log.count(of: "serving a client") == 2)
            }
        }

        @Test("verifies 16 connections at once")
        func wide() async throws {
            try await withServer("--size", "32M") { server in
                let job = try await run(
                    server, "--rw=randrw", "--bs=4k", "--iodepth=16", "--numjobs=16", "--size=2M",
                    "--offset_increment=2M", "--group_reporting=1")
                #expect(job.error == 0)
                #expect(server.log.count(of: "serving a client") >= 16)
            }
        }

        @Test(
            "verifies requests of every size from 512 bytes to 2 MiB",
            arguments: ["", "--sparse"])
        func sizes(kind: String) async throws {
            try await withServer(["--size", "40M"] + (kind.isEmpty ? [] : [kind])) { server in
                let job = try await run(
                    server, "--rw=randwrite", "--bsrange=512-2M", "--bs_unaligned=1",
                    "--iodepth=16",
                    "--size=40M")
                #expect(job.error == 0)
            }
        }

        @Test("verifies over TCP")
        func tcp() async throws {
            try await withServer("--size", "16M", start: .init(.tcp)) { server in
                let job = try await run(
                    server, "--rw=randrw", "--bs=4k", "--iodepth=128", "--size=16M")
                #expect(job.error == 0)
            }
        }

        @Test("trims a sparse disk and verifies what is written again")
        func trim() async throws {
            try await withServer("--size", "16M", "--sparse") { server in
                let job = try await run(
                    server, "--rw=randtrimwrite", "--bs=16k", "--iodepth=32", "--size=16M")
                #expect(job.error == 0)
            }
        }

        private func run(_ server: ServerProcess, _ options: String...) async throws -> Report.Job {
            // Standard output has notes before the report.
            let file = server.directory.file("report")
            try await fio(
                [
                    "--name=interop", "--ioengine=nbd", "--uri=\(server.uri)", "--verify=crc32c",
                    "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0", "--randrepeat=0",
                    "--output-format=json", "--output=\(file)",
                ] + options)
            let report = try JSONDecoder().decode(Report.self, from: contents(of: file))
            return try #require(report.jobs.first)
        }
    }
}

/// What `fio --output-format=json` writes, as far as it is looked at.
private struct Report: Decodable {
    struct Job: Decodable {
        var error: Int
        /// The percentage of the time for each number of requests in flight.
        var depths: [String: Double]

        enum CodingKeys: String, CodingKey {
            case error
            case depths = "iodepth_level"
        }
    }

    var jobs: [Job]
}
