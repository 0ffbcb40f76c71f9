import Foundation
import Harness
import Testing

extension Interop {
    @Suite("A trace") struct Traces {
        private let fio = Program("fio", package: "fio")
        private let requests = 400
        private let directory: TemporaryDirectory
        private let control: String

        init() throws {
            directory = try TemporaryDirectory()
            control = directory.file("control")
        }

        @Test("has every request that fio sent, and fio plays them again on another disk")
        func replay() async throws {
            try await withServer("--control", control) { server in
                let log = directory.file("work.iolog")
                try await record(server, to: log)
                let lines = text(of: log).split(separator: "\n")
                #expect(lines.first == "fio version 3 iolog")
                let reads = lines.count { $0.contains(" read ") }
                let writes = lines.count { $0.contains(" write ") }
                #expect(reads + writes == requests)
                try await withServer { other in
                    let said = try await fio(
                        "--name=again", "--ioengine=nbd", "--uri=\(other.uri)",
                        "--read_iolog=\(log)", "--output-format=json")
                    // Notes about the log come before the report.
                    let job = try #require(
                        try JSONDecoder().decode(
                            Report.self, from: Data(said.drop { $0 != "{" }.utf8)
                        ).jobs.first)
                    #expect(job.error == 0)
                    #expect(job.read.total_ios == reads)
                    #expect(job.write.total_ios == writes)
                }
            }
        }

        @Test("for Perfetto has every request that fio sent")
        func chrome() async throws {
            try await withServer("--control", control) { server in
                let file = directory.file("work.json")
                try await record(server, to: file)
                let data = try Data(contentsOf: URL(filePath: file))
                let events = try JSONDecoder().decode([Event].self, from: data)
                let slices = events.filter { $0.ph == "X" }
                #expect(slices.count == requests)
                #expect(slices.allSatisfy { ($0.ts ?? -1) >= 0 && ($0.dur ?? 0) > 0 })
                #expect(slices.allSatisfy { $0.pid == server.pid })
            }
        }

        @Test("for a full disk ends with a sentence, and clients notice nothing")
        func full() async throws {
            try await withServer("--control", control) { server in
                async let trace = Program.ramdiskNBD.run([
                    "trace", "--control", control, "--format", "text", "-o", "/dev/full",
                ])
                try await work(server)
                let ending = try await trace
                #expect(ending.status == .exited(74))
                #expect(ending.errors.contains("/dev/full"))
                #expect(ending.errors.contains("No space left on device"))
                try await work(server)
            }
        }

        /// Traces as many requests as fio sends, and has fio send them when the trace has begun.
        private func record(_ server: ServerProcess, to file: String) async throws {
            async let trace = Program.ramdiskNBD([
                "trace", "--control", control, "--count", "\(requests)", "-o", file,
            ])
            try await eventually("the trace begins") { !text(of: file).isEmpty }
            try await work(server)
            _ = try await trace
        }

        private func work(_ server: ServerProcess) async throws {
            try await fio(
                "--name=work", "--ioengine=nbd", "--uri=\(server.uri)", "--rw=randrw",
                "--bs=4k", "--iodepth=16", "--size=16M", "--number_ios=\(requests)")
        }

        /// What fio tells about a job.
        private struct Report: Decodable {
            struct Direction: Decodable { var total_ios: Int }
            struct Job: Decodable {
                var error: Int
                var read: Direction
                var write: Direction
            }
            var jobs: [Job]
        }

        /// What Perfetto reads of an event.
        private struct Event: Decodable {
            var ph: String
            var pid: Int32
            var ts: Double?
            var dur: Double?
        }
    }
}
