import Foundation
import Harness
import LinuxIO
import NBDServer
import Testing

@Suite("The library's server")
struct ServerAPITests {
    private func disk() throws -> RamDisk { try RamDisk(size: 4096) }

    private func code(_ body: () throws(ServerError) -> Void) -> ServerError.Code? {
        do throws(ServerError) {
            try body()
            return nil
        } catch {
            #expect(!error.description.isEmpty && !error.description.hasSuffix("."))
            return error.code
        }
    }

    @Test("refuses a configuration that cannot work, and traps on none")
    func configuration() throws {
        let disk = try disk()
        func code(
            of exports: [Export], _ endpoints: [Endpoint] = [],
            _ change: (inout ServerOptions) -> Void = { _ in }
        ) -> ServerError.Code? {
            var options = ServerOptions()
            change(&options)
            return self.code { () throws(ServerError) in
                _ = try Server(exports: exports, listeningOn: endpoints, options: options)
            }
        }
        #expect(code(of: []) == .noExports)
        let twice = [Export(name: "a", disk: disk), Export(name: "a", disk: disk)]
        #expect(code(of: twice) == .duplicateExport)
        let long = String(repeating: "a", count: 4097)
        #expect(code(of: [Export(name: long, disk: disk)]) == .invalidExport)
        #expect(code(of: [Export(name: "a\0", disk: disk)]) == .invalidExport)
        #expect(code(of: [Export(description: long, disk: disk)]) == .invalidExport)
        #expect(code(of: [Export(store: Huge())]) == .invalidExport)
        let one = [Export(disk: disk)]
        let many = (0..<64).map { Endpoint.unix("/tmp/\($0)") }
        #expect(code(of: one, many) == .tooManyListeners)
        #expect(code(of: one) { $0.maximumConnections = 0 } == .invalidOption)
        #expect(code(of: one) { $0.maximumConnectionsPerSource = 0 } == .invalidOption)
        #expect(code(of: one) { $0.maximumHandshakes = 0 } == .invalidOption)
        #expect(code(of: one) { $0.handshakeTimeout = .zero } == .invalidOption)
        #expect(code(of: one) { $0.stallTimeout = .zero } == .invalidOption)
        #expect(code(of: one) { $0.stopGracePeriod = .seconds(-1) } == .invalidOption)
        #expect(code(of: one) == nil)
    }

    @Test("refuses an address that it cannot listen on when it starts")
    func listening() throws {
        let export = Export(disk: try disk())
        func code(_ endpoint: Endpoint) -> ServerError.Code? {
            self.code { () throws(ServerError) in
                try Server(exports: [export], listeningOn: [endpoint]).start()
            }
        }
        #expect(code(.unix("")) == .invalidAddress)
        #expect(code(.unix(String(repeating: "a", count: 108))) == .invalidAddress)
        #expect(code(.tcp(host: "no such host")) == .invalidAddress)
        #expect(code(.unix("/proc/socket")) == .cannotListen)
        let server = try Server(exports: [export], listeningOn: [.tcp(host: "127.0.0.1", port: 0)])
        try server.start()
        let port = try #require(server.addresses.first?.port)
        #expect(code(.tcp(host: "127.0.0.1", port: port)) == .cannotListen)
    }

    @Test("tells its addresses and URIs once it has started, and serves there")
    func addresses() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("a b.sock")
        let server = try Server(
            exports: [Export(disk: try disk())],
            listeningOn: [
                .tcp(host: "127.0.0.1", port: 0), .unix(path, permissions: 0o600),
            ])
        #expect(server.addresses.isEmpty)
        try server.start()
        try server.start()
        let port = try #require(server.addresses.first?.port)
        #expect(port != 0)
        #expect(server.addresses.map(\.path) == [nil, path])
        #expect(server.addresses.map(\.description) == ["127.0.0.1:\(port)", path])
        let encoded = path.replacing(" ", with: "%20")
        #expect(
            server.uris == ["nbd://127.0.0.1:\(port)", "nbd+unix:///?socket=\(encoded)"])
        let permissions = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
        #expect(permissions as? Int == 0o600)
        for uri in server.uris { _ = try NBDURI(uri) }
        let address = try #require(SocketAddress.unix(path: path))
        let socket = try StreamSocket.connect(to: address)
        let memory = try MemoryMapping(privateBytes: 18)
        #expect(socket.handle.receive(into: memory.region, blocking: true) == .bytes(18))
        server.stop()
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(code { () throws(ServerError) in try server.start() } == .stopped)
    }

    @Test("listens on both families of localhost, with one port")
    func localhost() throws {
        let server = try Server(
            exports: [Export(disk: try disk())], listeningOn: [.tcp(port: 0)])
        try server.start()
        #expect(Set(server.addresses.map(\.port)).count == 1)
        #expect(server.addresses.contains { $0.host == "127.0.0.1" })
    }

    @Test("has URIs that clients can use")
    func uris() {
        #expect(Endpoint.tcp(host: "*").uri() == "nbd://localhost:10809")
        #expect(Endpoint.tcp(host: "::1", port: 1).uri(export: "a/b") == "nbd://[::1]:1/a%2Fb")
        #expect(Endpoint.tcp(host: "h", port: 1).uri(isEncrypted: true) == "nbds://h:1")
        #expect(Endpoint.unix("/a b").uri(export: "x") == "nbd+unix:///x?socket=/a%20b")
    }

    @Test("serves clients that were passed to it before it starts")
    func early() throws {
        let server = try Server(exports: [Export(name: "disk", disk: try disk())])
        let pair = try StreamSocket.pair()
        server.serve(pair.second)
        try server.start()
        let memory = try MemoryMapping(privateBytes: 18)
        #expect(pair.first.handle.receive(into: memory.region, blocking: true) == .bytes(18))
    }

    @Test("runs until its task is cancelled, and stops gracefully then")
    func cancellation() async throws {
        let events = EventRecord()
        var options = ServerOptions()
        // The client never finishes its handshake; on a busy machine the default limit may end it first.
        options.handshakeTimeout = .seconds(3600)
        let server = try Server(
            exports: [Export(name: "disk", disk: try disk())], options: options,
            onEvent: { events.record($0) })
        // Started here: the client blocks a thread that the task may need to start it.
        try server.start()
        let client = try TestClient(to: server, keepsServer: false)
        let task = Task { try await server.run() }
        _ = try client.receive(18)
        task.cancel()
        try await task.value
        #expect(try client.isClosed())
        #expect(events.ends == [.stopped])
        await #expect(throws: ServerError.self) { try await server.run() }
    }

    @Test("runs until it is stopped, for every task that waits")
    func stopEndsRun() async throws {
        let server = try Server(exports: [Export(disk: try disk())])
        let tasks = (0..<3).map { _ in Task { try await server.run() } }
        try await Task.sleep(for: .milliseconds(50))
        server.stop()
        for task in tasks { _ = await task.result }
    }

    @Test("ends at once in a task that was cancelled before")
    func cancelledBefore() async throws {
        let server = try Server(exports: [Export(disk: try disk())])
        let task = Task {
            unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
            try await server.run()
        }
        try await task.value
    }

    @Test("admits networks that are written as text")
    func networks() throws {
        var policy = AdmissionPolicy()
        try policy.allow(network: "192.0.2.0/24")
        try policy.allow(network: "::1")
        #expect(
            code { () throws(ServerError) in try policy.allow(network: "host") } == .invalidAddress)
    }
}

/// A store larger than NBD can carry.
private struct Huge: BlockStore {
    let size = UInt64.max
    func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) {}
    func write(_ bytes: Span<UInt8>, at offset: UInt64) {}
}
