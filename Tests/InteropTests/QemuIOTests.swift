import Harness
import Testing

extension Interop {
    @Suite("qemu-io") struct QemuIO {
        @Test("reads the pattern that it wrote, and zeroes where it did not")
        func pattern() async throws {
            try await expect(
                "write -P 0xa5 1M 2M", "read -P 0xa5 1M 2M", "read -P 0 0 1M", "read -P 0 3M 1M")
        }

        @Test("is told when what it reads is not what it expects")
        func wrongPattern() async throws {
            try await withServer { server in
                let ending = try await qemuIO(
                    server, ["write -P 0xa5 0 64k", "read -P 0xa6 0 64k"])
                #expect(!ending.status.isSuccess)
                #expect(ending.output.contains("Pattern verification failed"))
            }
        }

        @Test(
            "writes zeroes over a pattern, and nowhere else",
            arguments: ["-z", "-z -u"], ["", "--sparse"])
        func zeroes(flags: String, kind: String) async throws {
            try await expect(
                on: kind, "write -P 0x11 0 1M", "write \(flags) 100k 300k", "read -P 0x11 0 100k",
                "read -P 0 100k 300k", "read -P 0x11 400k 624k")
        }

        @Test(
            "reads zeroes where it discarded, and the pattern around it",
            arguments: ["", "--sparse"])
        func discard(kind: String) async throws {
            try await expect(
                on: kind, "write -P 0x22 0 1M", "discard 64k 128k", "read -P 0x22 0 64k",
                "read -P 0 64k 128k", "read -P 0x22 192k 832k")
        }

        @Test(
            "discards ranges that begin and end inside a page, to the byte",
            arguments: ["", "--sparse"])
        func discardUnaligned(kind: String) async throws {
            try await expect(
                on: kind, "write -P 0x33 0 64k", "discard 1000 20000", "read -P 0x33 0 1000",
                "read -P 0x33 21000 40000", "write -z 30001 3", "read -P 0x33 29000 1001",
                "read -P 0 30001 3", "read -P 0x33 30004 1000")
        }

        @Test("writes through to the medium, and flushes")
        func forceUnitAccess() async throws {
            try await expect(
                "write -f -P 0x44 0 64k", "write -f -z 64k 64k", "flush", "read -P 0x44 0 64k",
                "read -P 0 64k 64k")
        }

        @Test("writes single bytes where they belong")
        func singleBytes() async throws {
            try await expect(
                "write -P 0x55 4095 1", "write -P 0x66 4096 1", "read -P 0 4094 1",
                "read -P 0x55 4095 1", "read -P 0x66 4096 1", "read -P 0 4097 1")
        }

        @Test("gathers and scatters")
        func vectors() async throws {
            try await expect(
                "writev -P 0x77 8k 1k 7k 512 15872", "readv -P 0x77 8k 4k 4k 16k",
                "read -P 0 32k 4k")
        }

        @Test(
            "has many writes in flight, and finds each in its place", arguments: ["", "--sparse"])
        func manyInFlight(kind: String) async throws {
            let count = 120
            let writes = (0..<count).map { "aio_write -P \($0 + 1) \($0 * 24)k 24k" }
            let reads = (0..<count).map { "aio_read -P \($0 + 1) \($0 * 24)k 24k" }
            try await expect(on: kind, writes + ["aio_flush"] + reads + ["aio_flush"])
        }

        @Test("has writes and zeroes of different places in flight at once")
        func mixedInFlight() async throws {
            let writes = (0..<60).map { "aio_write -P 0x99 \($0 * 64)k 64k" }
            let mixed = (0..<60).map { number in
                let kind = number % 2 == 0 ? "-z" : "-P \(number)"
                return "aio_write \(kind) \(number * 64)k 32k"
            }
            let reads = (0..<60).flatMap { number in
                let byte = number % 2 == 0 ? 0 : number
                return [
                    "read -P \(byte) \(number * 64)k 32k", "read -P 0x99 \(number * 64 + 32)k 32k",
                ]
            }
            try await expect(writes + ["aio_flush"] + mixed + ["aio_flush"] + reads)
        }

        @Test("writes the largest request that is advertised")
        func largest() async throws {
            try await expect("write -P 0xbb 1M 32M", "read -P 0xbb 1M 32M")
        }

        private func expect(on kind: String = "", _ commands: String...) async throws {
            try await expect(on: kind, commands)
        }

        /// Every command succeeds. (A pattern that is not found makes qemu-io fail.)
        private func expect(on kind: String = "", _ commands: [String]) async throws {
            try await withServer(kind.isEmpty ? [] : [kind]) { server in
                let ending = try await qemuIO(server, commands)
                #expect(ending.status == .exited(0), "\(ending.output)\(ending.errors)")
                #expect(!ending.output.contains("failed"), "\(ending.output)")
            }
        }

        private func qemuIO(
            _ server: ServerProcess, _ commands: [String]
        ) async throws -> Program.Ending {
            try await Program("qemu-io", package: "qemu-utils").run(
                ["-f", "raw"] + commands.flatMap { ["-c", $0] } + [server.uri])
        }
    }
}
