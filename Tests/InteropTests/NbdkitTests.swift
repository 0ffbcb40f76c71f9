import Harness
import Testing

extension Interop {
    @Suite("nbdkit as a proxy") struct Nbdkit {
        private let nbdcopy = Program("nbdcopy", package: "libnbd-bin")

        @Test("finds, when the same content is written again, that nothing would change")
        func checkWriteSame() async throws {
            try await withServer("--size", "16M") { server in
                let file = try server.directory.randomFile(bytes: 16 << 20)
                try await nbdcopy(file, server.uri)
                let ending = try await proxy(
                    server, filters: "checkwrite", run: "nbdcopy '\(file)' \"$uri\"")
                #expect(ending.status == .exited(0), "\(ending.errors)")
            }
        }

        @Test("finds, when other content is written, that it differs")
        func checkWriteDifferent() async throws {
            try await withServer("--size", "4M") { server in
                let one = try server.directory.randomFile("one", bytes: 4 << 20)
                let other = try server.directory.randomFile("other", bytes: 4 << 20)
                try await nbdcopy(one, server.uri)
                let ending = try await proxy(
                    server, filters: "checkwrite", run: "nbdcopy '\(other)' \"$uri\"")
                #expect(!ending.status.isSuccess)
                #expect(ending.errors.contains("data written does not match expected"))
                // The filter compares; it does not write.
                let copy = server.directory.file("copy")
                try await nbdcopy(server.uri, copy)
                #expect(try sameBytes(one, copy))
            }
        }

        @Test("carries data both ways, through filters that log and delay", arguments: [1, 4])
        func bothWays(connections: Int) async throws {
            try await withServer("--size", "8M", "--sparse") { server in
                let file = try server.directory.randomFile(bytes: 8 << 20)
                let copy = server.directory.file("copy")
                let ending = try await proxy(
                    server, filters: "log", "delay",
                    settings: [
                        "logfile=\(server.directory.file("requests"))", "rdelay=1ms", "wdelay=1ms",
                    ],
                    run: """
                        nbdcopy --connections=\(connections) '\(file)' "$uri" && \
                        nbdcopy --connections=\(connections) "$uri" '\(copy)'
                        """)
                #expect(ending.status == .exited(0), "\(ending.errors)")
                #expect(try sameBytes(file, copy))
            }
        }

        @Test("passes on the size and what can be done")
        func properties() async throws {
            try await withServer("--size", "7M") { server in
                let ending = try await proxy(
                    server,
                    run: """
                        nbdinfo --size "$uri" && nbdinfo --can trim "$uri" && \
                        nbdinfo --can fua "$uri" && nbdinfo --can multi-conn "$uri" && \
                        nbdinfo --can fast-zero "$uri" && nbdinfo --can cache "$uri"
                        """)
                #expect(ending.status == .exited(0), "\(ending.errors)")
                #expect(ending.output == "7340032\n")
            }
        }

        /// Runs a shell's command against nbdkit, which is a client of the server; both end with it.
        private func proxy(
            _ server: ServerProcess, filters: String..., settings: [String] = [],
            run command: String
        ) async throws -> Program.Ending {
            _ = try requires("nbdcopy", package: "libnbd-bin")
            return try await Program("nbdkit", package: "nbdkit").run(
                ["-U", "-"] + filters.map { "--filter=\($0)" } + ["nbd", "uri=\(server.uri)"]
                    + settings + ["--run", command])
        }
    }
}
