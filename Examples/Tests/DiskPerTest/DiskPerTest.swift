import Foundation
import NBDServer
import Testing

/// Each test has a disk and a server of its own: Swift Testing makes a new instance for each.
@Suite("Copying images")
struct DiskPerTest {
    private let disk: RamDisk
    private let server: Server

    init() throws {
        disk = try RamDisk(size: 1 << 20, isSparse: true)
        server = try Server(
            exports: [Export(disk: disk)], listeningOn: [.tcp(host: "127.0.0.1", port: 0)])
        try server.start()
    }

    @Test("writes the image's bytes to the disk")
    func writes() throws {
        let image = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: image) }
        try Data("an image".utf8).write(to: image)
        try copy(from: image.path, to: server.uris[0])
        #expect(try disk.read(at: 0, count: 8) == Array("an image".utf8))
    }

    @Test("reads what is on the disk, and changes nothing")
    func reads() throws {
        try disk.write(Array("a disk".utf8), at: 4096)
        let image = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        defer { try? FileManager.default.removeItem(at: image) }
        try copy(from: server.uris[0], to: image.path)
        let bytes = try Data(contentsOf: image)
        #expect(bytes.count == 1 << 20)
        #expect(bytes[4096..<4102] == Data("a disk".utf8))
        #expect(server.statistics().activity.bytes(of: .write) == 0)
    }

    /// Runs nbdcopy, which stands for the code under test.
    private func copy(from source: String, to target: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/nbdcopy")
        process.arguments = [source, target]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }
}
