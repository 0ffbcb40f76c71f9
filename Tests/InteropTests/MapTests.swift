import Foundation
import Harness
import Testing

extension Interop {
    @Suite("Maps") struct Maps {
        private let nbdinfo = Program("nbdinfo", package: "libnbd-bin")
        private let qemuImg = Program("qemu-img", package: "qemu-utils")
        private let qemuIO = Program("qemu-io", package: "qemu-utils")

        /// A run of bytes that are all data, or all a hole.
        private struct Run: Equatable {
            var start: UInt64
            var length: UInt64
            var isHole: Bool
        }

        private static let size: UInt64 = 8 << 20
        private static let empty = [Run(start: 0, length: size, isHole: true)]
        /// After a page has been written, and a megabyte of which the second half is trimmed again.
        private static let written = [
            Run(start: 0, length: 64 << 10, isHole: true),
            Run(start: 64 << 10, length: 4 << 10, isHole: false),
            Run(start: 68 << 10, length: 956 << 10, isHole: true),
            Run(start: 1 << 20, length: 512 << 10, isHole: false),
            Run(start: 1536 << 10, length: 6656 << 10, isHole: true),
        ]

        @Test("of a sparse disk are exact to the page, before and after writes and trims")
        func exact() async throws {
            try await withServer("--size", "8M", "--sparse") { server in
                #expect(try await libnbdMap(server.uri) == Self.empty)
                #expect(try await qemuMap(server.uri) == Self.empty)
                try await qemuIO(
                    "-f", "raw", "-d", "unmap", "-c", "write -P 5 64k 4k", "-c",
                    "write -P 6 1M 1M", "-c", "discard 1536k 512k", server.uri)
                #expect(try await libnbdMap(server.uri) == Self.written)
                #expect(try await qemuMap(server.uri) == Self.written)
            }
        }

        @Test("of an empty disk of a terabyte are one hole, at once")
        func large() async throws {
            try await withServer("--size", "1T", "--sparse") { server in
                let hole = [Run(start: 0, length: 1 << 40, isHole: true)]
                #expect(try await qemuMap(server.uri) == hole)
                // It prints one line for each answer, each of which has 32 bits.
                let map = try await libnbdMap(server.uri)
                let isHole = map.allSatisfy(\.isHole)
                #expect(isHole)
                #expect(map.map(\.length).reduce(0, +) == 1 << 40)
            }
        }

        @Test("of the depth are 1 where there is data, and 0 elsewhere")
        func depth() async throws {
            try await withServer("--size", "1M") { server in
                try await qemuIO("-f", "raw", "-c", "write -P 5 64k 4k", server.uri)
                let map = try await nbdinfo(
                    "--map=qemu:allocation-depth", "--totals", "--json", server.uri)
                struct Total: Decodable, Equatable {
                    var size: UInt64
                    var type: UInt32
                }
                let totals = try JSONDecoder().decode([Total].self, from: Data(map.utf8))
                #expect(
                    totals.sorted { $0.type < $1.type }
                        == [Total(size: 1020 << 10, type: 0), Total(size: 4 << 10, type: 1)])
                let said = try await nbdinfo("--json", server.uri)
                for context in ["base:allocation", "qemu:allocation-depth"] {
                    #expect(said.contains("\"\(context)\""), "\(said)")
                }
            }
        }

        private func libnbdMap(_ uri: String) async throws -> [Run] {
            struct Extent: Decodable {
                var offset: UInt64
                var length: UInt64
                var type: UInt32
            }
            let said = try await nbdinfo("--map=base:allocation", "--json", uri)
            return try JSONDecoder().decode([Extent].self, from: Data(said.utf8)).map {
                // A hole that reads as zeroes is both.
                #expect($0.type == 0 || $0.type == 3)
                return Run(start: $0.offset, length: $0.length, isHole: $0.type == 3)
            }
        }

        private func qemuMap(_ uri: String) async throws -> [Run] {
            struct Extent: Decodable {
                var start: UInt64
                var length: UInt64
                var zero: Bool
                var data: Bool
            }
            let said = try await qemuImg("map", "--output=json", "-f", "raw", uri)
            return try JSONDecoder().decode([Extent].self, from: Data(said.utf8)).map {
                #expect($0.zero != $0.data)
                return Run(start: $0.start, length: $0.length, isHole: $0.zero)
            }
        }
    }
}
