import Foundation
import Harness
import Testing

extension Interop {
    @Suite("qemu-img") struct QemuImg {
        private let qemuImg = Program("qemu-img", package: "qemu-utils")

        @Test("converts a file to the disk and the disk to a file, and finds them identical")
        func convertBothWays() async throws {
            try await withServer("--size", "40M") { server in
                let file = try server.directory.randomFile(bytes: 40 << 20)
                let copy = server.directory.file("copy")
                try await qemuImg("convert", "-n", "-f", "raw", "-O", "raw", file, server.uri)
                try await qemuImg("convert", "-f", "raw", "-O", "raw", server.uri, copy)
                #expect(try sameBytes(file, copy))
                let said = try await qemuImg("compare", "-f", "raw", "-F", "raw", file, server.uri)
                #expect(said.contains("identical"))
            }
        }

        @Test("converts out of order with many requests, into a sparse disk over TCP")
        func convertOutOfOrder() async throws {
            try await withServer("--size", "24M", "--sparse", start: .init(.tcp)) { server in
                let file = try server.directory.randomFile(bytes: 24 << 20)
                try await qemuImg(
                    "convert", "-n", "-W", "-m", "16", "-f", "raw", "-O", "raw", file, server.uri)
                try await qemuImg("compare", "-f", "raw", "-F", "raw", file, server.uri)
            }
        }

        @Test("finds out that one byte differs")
        func compareDifferent() async throws {
            try await withServer("--size", "1M") { server in
                let file = try server.directory.randomFile(bytes: 1 << 20)
                try await qemuImg("convert", "-n", "-f", "raw", "-O", "raw", file, server.uri)
                try changeByte(of: file, at: 700_000)
                let ending = try await qemuImg.run(
                    ["compare", "-f", "raw", "-F", "raw", file, server.uri])
                #expect(ending.status == .exited(1))
            }
        }

        @Test("zeroes what it is told is empty")
        func convertZeroes() async throws {
            try await withServer("--size", "8M", "--sparse") { server in
                let random = try server.directory.randomFile(bytes: 8 << 20)
                try await qemuImg("convert", "-n", "-f", "raw", "-O", "raw", random, server.uri)
                let empty = server.directory.file("empty")
                try await qemuImg("create", "-f", "raw", empty, "8M")
                try await qemuImg("convert", "-n", "-f", "raw", "-O", "raw", empty, server.uri)
                try await qemuImg("compare", "-f", "raw", "-F", "raw", empty, server.uri)
            }
        }

        @Test("sees the size")
        func info() async throws {
            try await withServer("--size", "1T", "--sparse") { server in
                let said = try await qemuImg("info", "--output=json", "-f", "raw", server.uri)
                struct Info: Decodable {
                    var size: UInt64
                    enum CodingKeys: String, CodingKey { case size = "virtual-size" }
                }
                #expect(
                    try JSONDecoder().decode(Info.self, from: Data(said.utf8)).size == 1 << 40)
            }
        }

        @Test("runs its benchmark to the end", arguments: ["read", "write"])
        func bench(direction: String) async throws {
            try await withServer("--size", "40M") { server in
                let options = direction == "write" ? ["-w", "--flush-interval=100"] : []
                try await qemuImg(
                    ["bench", "-f", "raw", "-c", "4000", "-d", "64"] + options + [server.uri])
            }
        }

        private func changeByte(of path: String, at offset: UInt64) throws {
            let file = try FileHandle(forUpdating: URL(filePath: path))
            try file.seek(toOffset: offset)
            let byte = try #require(try file.read(upToCount: 1)?.first)
            try file.seek(toOffset: offset)
            try file.write(contentsOf: [~byte])
            try file.close()
        }
    }
}
