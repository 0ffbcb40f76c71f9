import NBDProtocol
import Testing

@testable import NBDServer

@Suite("A running server")
struct ChangingExportsTests {
    @Test(
        "gets an export that clients can choose at once, and keeps one that is removed for those who use it"
    )
    func addAndRemove() throws {
        let disk = try RamDisk(size: 1 << 20)
        try disk.write([1, 2, 3], at: 0)
        let server = try Server(
            exports: [Export(disk: disk)], listeningOn: [.tcp(host: "127.0.0.1", port: 0)])
        try server.start()
        defer { server.stop() }
        let snapshot = try disk.makeSnapshot()
        try server.add(Export(name: "@s", store: snapshot, isReadOnly: true))
        try disk.write([9, 9, 9], at: 0)
        #expect(server.exports.map(\.name) == ["", "@s"])
        let client = try TestClient(to: server, export: "@s")
        #expect(try client.read(at: 0, count: 3) == [1, 2, 3])
        #expect(server.statistics().exports.map(\.openConnections) == [0, 1])
        #expect(server.removeExport(named: "@s"))
        #expect(!server.removeExport(named: "@s"))
        #expect(try client.read(at: 0, count: 3) == [1, 2, 3])
        #expect(throws: (any Error).self) { _ = try TestClient(to: server, export: "@s") }
        #expect(server.statistics().exports.map(\.name) == [""])
        #expect(server.statistics().activity.requests >= 2)
    }

    @Test("refuses a name that is taken, and keeps its last export")
    func names() throws {
        let server = try Server(exports: [Export(name: "a", disk: RamDisk(size: 4096))])
        #expect(throws: ServerError.self) {
            try server.add(Export(name: "a", disk: RamDisk(size: 4096)))
        }
        #expect(!server.removeExport(named: "a"))
    }
}
