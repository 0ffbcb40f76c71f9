import Harness
import Testing

extension Interop {
    @Suite("nbdcopy") struct Nbdcopy {
        private let nbdcopy = Program("nbdcopy", package: "libnbd-bin")

        @Test("copies a disk's worth of random data in and out again")
        func bothWays() async throws {
            try await withServer("--size", "40M") { server in
                let file = try server.directory.randomFile(bytes: 40 << 20)
                try await nbdcopy(file, server.uri)
                try await expectDisk(of: server, toEqual: file)
            }
        }

        @Test("copies both ways over TCP")
        func tcp() async throws {
            try await withServer("--size", "16M", start: .init(.tcp)) { server in
                let file = try server.directory.randomFile(bytes: 16 << 20)
                try await nbdcopy(file, server.uri)
                try await expectDisk(of: server, toEqual: file)
            }
        }

        @Test("copies over many connections at once", arguments: [4, 16])
        func connections(count: Int) async throws {
            try await withServer("--size", "32M") { server in
                let file = try server.directory.randomFile(bytes: 32 << 20)
                try await nbdcopy(
                    "--connections=\(count)", "--threads=\(count)", "--request-size=65536", file,
                    server.uri)
                #expect(server.log.count(of: "serving a client") == count)
                try await expectDisk(
                    of: server, toEqual: file, "--connections=\(count)", "--threads=\(count)")
            }
        }

        @Test("copies with 128 requests in flight on one connection")
        func requests() async throws {
            try await withServer("--size", "32M") { server in
                let file = try server.directory.randomFile(bytes: 32 << 20)
                let options = ["--connections=1", "--requests=128", "--request-size=16384"]
                try await nbdcopy(options[0], options[1], options[2], file, server.uri)
                #expect(server.log.count(of: "serving a client") == 1)
                try await expectDisk(of: server, toEqual: file, options[0], options[1], options[2])
            }
        }

        @Test("copies a disk whose size is no round number, to its last byte")
        func oddSize() async throws {
            try await withServer("--size", "5000001") { server in
                let file = try server.directory.randomFile(bytes: 5_000_001)
                try await nbdcopy(file, server.uri)
                try await expectDisk(of: server, toEqual: file)
            }
        }

        @Test("copies between two disks of one server, with zeroes kept as zeroes")
        func betweenDisks() async throws {
            try await withServer(
                "--export", "one=8M", "--export", "two=8M", "--sparse"
            ) { server in
                let file = try server.directory.randomFile(bytes: 3 << 20)
                try await nbdcopy(file, server.uri("one"))
                try await nbdcopy("--flush", server.uri("one"), server.uri("two"))
                let copy = server.directory.file("copy")
                try await nbdcopy(server.uri("two"), copy)
                let original = server.directory.file("original")
                try await nbdcopy(server.uri("one"), original)
                #expect(try sameBytes(copy, original))
            }
        }

        @Test("is told that a read-only disk cannot be written, and can read it")
        func readOnly() async throws {
            try await withServer("--size", "1M", "--read-only") { server in
                let file = try server.directory.randomFile(bytes: 1 << 20)
                let ending = try await nbdcopy.run([file, server.uri])
                #expect(!ending.status.isSuccess)
                let copy = server.directory.file("copy")
                try await nbdcopy(server.uri, copy)
                #expect(try contents(of: copy).allSatisfy { $0 == 0 })
            }
        }

        private func expectDisk(
            of server: ServerProcess, toEqual file: String, _ options: String...
        ) async throws {
            let copy = server.directory.file("copy")
            try await nbdcopy(options + [server.uri, copy])
            #expect(try sameBytes(file, copy))
        }
    }
}
