import Harness
import Testing

extension ProgramSuite {
    @Suite("Memory") struct Memory {
        @Test("that does not suffice is reported at the start")
        func notEnough() async throws {
            let ending = try await Program.ramdiskNBD.run(
                ["serve", "--listen", "localhost:0", "--size", "100T"])
            #expect(ending.status == .exited(71))
            #expect(ending.output.isEmpty)
            #expect(ending.isOneSentence(naming: "not enough memory", "109951162777600 bytes"))
        }

        @Test("that does not suffice for one of two disks is reported at the start")
        func notEnoughForAll() async throws {
            let ending = try await Program.ramdiskNBD.run(
                [
                    "serve", "--listen", "localhost:0", "--export", "small=4M", "--export",
                    "large=100T",
                ])
            #expect(ending.status == .exited(71))
            #expect(ending.isOneSentence(naming: "not enough memory"))
        }

        @Test("of a sparse disk of 1 TiB is allocated when it is written")
        func sparse() async throws {
            try await withServer("--size", "1T", "--sparse") { server in
                let client = try RawClient(unix: server.socketPath)
                let size = try client.enter()
                #expect(size == 1 << 40)
                for offset: UInt64 in [0, 1 << 39, 1 << 40 - 3] {
                    try client.write([1, 2, 3], at: offset)
                    let bytes = try client.read(at: offset, count: 3)
                    #expect(bytes == [1, 2, 3])
                }
                let hole = try client.read(at: 1 << 38, count: 1 << 20)
                #expect(hole == [UInt8](repeating: 0, count: 1 << 20))
                #expect(server.memory("RssShmem") < 1 << 20)
            }
        }

        @Test("of a disk is allocated at the start")
        func provisioned() async throws {
            try await withServer("--size", "24M") { server in
                #expect(server.memory("VmRSS") >= 24 << 20)
            }
        }

        @Test("besides the disk stays small after a client has written all of it")
        func beyondTheDisk() async throws {
            try await withServer("--size", "40M") { server in
                let client = try RawClient(unix: server.socketPath)
                try client.enter()
                let data = [UInt8](repeating: 5, count: 4 << 20)
                for offset in stride(from: 0, to: UInt64(40 << 20), by: data.count) {
                    try client.write(data, at: offset)
                    _ = try client.read(at: offset, count: data.count)
                }
                let beyond = server.memory("VmRSS") - 40 << 20
                print("resident memory beyond the disk: \(beyond >> 10) KiB")
                #expect(beyond < (Program.isReleaseBuild ? 16 << 20 : 32 << 20))
            }
        }
    }
}
