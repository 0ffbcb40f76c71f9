import Foundation
import Harness
import Testing

extension Interop {
    @Suite("nbdinfo") struct Nbdinfo {
        private let nbdinfo = Program("nbdinfo", package: "libnbd-bin")

        @Test("sees the size, over a Unix socket and over both loopbacks")
        func size() async throws {
            try await withServer("--size", "40M", "--listen", "localhost:0") { server in
                #expect(server.readyLines.count == 3)
                for uri in server.readyLines {
                    let size = try await self.size(uri)
                    #expect(size == 40 << 20)
                }
            }
        }

        @Test("shows a disk as text")
        func plain() async throws {
            try await withServer { server in
                let text = try await nbdinfo(server.uri)
                #expect(text.contains("newstyle-fixed without TLS"))
                #expect(text.contains("export-size: 41943040 (40M)"))
                #expect(text.contains("description: ramdisk"))
            }
        }

        @Test("shows a disk as JSON")
        func json() async throws {
            try await withServer("--size", "5M") { server in
                let info = try await info(server.uri, "--json")
                #expect(info.protocol == "newstyle-fixed")
                let export = try #require(info.exports.first)
                #expect(info.exports.count == 1)
                #expect(export.name == "")
                #expect(export.description == "ramdisk")
                #expect(export.size == 5 << 20)
                #expect(!export.isReadOnly)
                #expect(export.minimumBlockSize == 1)
                #expect(export.preferredBlockSize == 4096)
                #expect(export.maximumBlockSize == 32 << 20)
            }
        }

        @Test("lists every export with its own size")
        func list() async throws {
            let disks = ["fast=8M", "scratch=12M", "größer=1G", "with space=4K", "plain"]
            let arguments = disks.flatMap { ["--export", $0] }
            try await withServer(arguments + ["--sparse", "--size", "3M"]) { server in
                let info = try await info(server.uri, "--list", "--json")
                let names = ["fast", "scratch", "größer", "with space", "plain"]
                #expect(info.exports.map(\.name) == names)
                #expect(info.exports.map(\.size) == [8 << 20, 12 << 20, 1 << 30, 4096, 3 << 20])
                #expect(info.exports.allSatisfy { $0.description == "ramdisk" })
            }
        }

        @Test("gets the export that it names, and the first when it names none")
        func names() async throws {
            try await withServer("--export", "one=1M", "--export", "two=2M") { server in
                for (name, size) in [("", 1 << 20), ("one", 1 << 20), ("two", 2 << 20)] {
                    let told = try await self.size(server.uri(name))
                    #expect(told == size)
                }
            }
        }

        @Test("gets an error when an export does not exist, and the server continues")
        func unknownName() async throws {
            try await withServer("--export", "one=1M") { server in
                let ending = try await nbdinfo.run([server.uri("nowhere")])
                #expect(!ending.status.isSuccess)
                #expect(ending.errors.contains("nowhere") || ending.errors.contains("export"))
                let size = try await size(server.uri("one"))
                #expect(size == 1 << 20)
            }
        }

        @Test(
            "finds every flag of a disk that can be written",
            arguments: [
                "connect", "read", "write", "cache", "fast-zero", "flush", "fua", "multi-conn",
                "trim",
                "zero",
            ])
        func flag(_ flag: String) async throws {
            try await withServer { server in
                let can = try await says("--can", flag, server.uri)
                #expect(can)
            }
        }

        @Test("reports a read-only disk as read-only, and no other")
        func readOnly() async throws {
            try await withServer("--read-only") { server in
                let isReadOnly = try await says("--is", "read-only", server.uri)
                #expect(isReadOnly)
                for flag in ["write", "trim", "zero", "fast-zero"] {
                    let can = try await says("--can", flag, server.uri)
                    #expect(!can, "\(flag)")
                }
            }
            try await withServer { server in
                for property in ["read-only", "rotational"] {
                    let isSo = try await says("--is", property, server.uri)
                    #expect(!isSo, "\(property)")
                }
            }
        }

        @Test("connects by the printed URI to a Unix socket whose path has special characters")
        func awkwardPath() async throws {
            let directory = try TemporaryDirectory()
            let path = directory.file("a b%c&d=e?f#g+h;ü")
            try await withServer("--size", "1M", "--unix", path, start: .init(.asTold)) { server in
                let size = try await size(server.uri)
                #expect(size == 1 << 20)
            }
        }

        private func size(_ uri: String) async throws -> Int? {
            try await Int(nbdinfo("--size", uri).dropLast())
        }

        /// nbdinfo's answer to a question: its exit code is 0 for yes and 2 for no.
        private func says(_ question: String, _ what: String, _ uri: String) async throws -> Bool {
            switch try await nbdinfo.run([question, what, uri]).status {
            case .exited(0): true
            case .exited(2): false
            case let other: throw TestError("nbdinfo \(question) \(what): \(other)")
            }
        }

        private func info(_ uri: String, _ options: String...) async throws -> Info {
            let ending = try await nbdinfo.run(options + [uri])
            return try JSONDecoder().decode(Info.self, from: Data(ending.output.utf8))
        }
    }
}

/// What `nbdinfo --json` writes, as far as it is looked at.
private struct Info: Decodable {
    struct Export: Decodable {
        var name: String
        var description: String
        var size: UInt64
        var isReadOnly: Bool
        var minimumBlockSize: UInt64
        var preferredBlockSize: UInt64
        var maximumBlockSize: UInt64

        enum CodingKeys: String, CodingKey {
            case name = "export-name"
            case description
            case size = "export-size"
            case isReadOnly = "is_read_only"
            case minimumBlockSize = "block_size_minimum"
            case preferredBlockSize = "block_size_preferred"
            case maximumBlockSize = "block_size_maximum"
        }
    }

    var `protocol`: String
    var exports: [Export]
}
