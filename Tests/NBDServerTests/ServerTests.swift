import LinuxIO
import NBDProtocol
import NBDServer
import Testing

@Suite("The server")
struct ServerTests {
    @Test("sixteen connections at once, each with its own part of the disk, verified")
    func sixteenConnections() async throws {
        let server = try makeServer(size: 16 << 20)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<16 as Range<UInt64> {
                group.addTask {
                    let client = try TestClient(to: server, export: "disk")
                    for round in 0..<8 as Range<UInt64> {
                        let offset = number << 20 + round * 70_000
                        try client.write(pattern(70_000, seed: number * 8 + round), at: offset)
                    }
                    for round in 0..<8 as Range<UInt64> {
                        let offset = number << 20 + round * 70_000
                        let data = try client.read(at: offset, count: 70_000)
                        #expect(data == pattern(70_000, seed: number * 8 + round))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test("one client too many is turned away, and welcome when another has left")
    func connectionLimit() throws {
        var options = ServerOptions()
        options.maximumConnections = 2
        let events = EventRecord()
        let server = try makeServer(options: options, events: events)
        let first = try TestClient(to: server, export: "disk")
        do {
            let second = try TestClient(to: server, export: "disk")
            let third = try TestClient(to: server)
            #expect(try third.isClosed())
            #expect(events.refusals == 1)
            try second.send(Request(.disconnect))
            #expect(try second.isClosed())
        }
        let fourth = try TestClient(to: server, export: "disk")
        try fourth.write([1], at: 0)
        try first.write([2], at: 1)
    }

    @Test("stopping ends idle clients, in the handshake and after it, and all threads")
    func stop() throws {
        let events = EventRecord()
        let server = try makeServer(events: events)
        let greeted = try TestClient(to: server)
        _ = try greeted.receive(Greeting.encodedSize)
        let idle = try TestClient(to: server, export: "disk")
        server.stop()
        #expect(try greeted.isClosed())
        #expect(try idle.isClosed())
        #expect(events.ends == [.stopped, .stopped])
        server.stop()
    }

    @Test("what has been received when the server stops is answered, done or ESHUTDOWN")
    func stopWithRequests() throws {
        var options = ServerOptions()
        options.stopGracePeriod = .seconds(10)
        let server = try makeServer(size: 32 << 20, options: options)
        let client = try TestClient(to: server, export: "disk")
        // The reply does not fit into any socket buffer: the thread is busy with it, and the two
        // requests behind it wait in the socket when the server is told to stop.
        try client.send(Request(.read, cookie: 1, offset: 0, length: 32 << 20))
        #expect(try client.reply() == SimpleReply(cookie: 1))
        try client.send(
            Request(.write, cookie: 2, offset: 0, length: 100).encoded + pattern(100)
                + Request(.flush, cookie: 3).encoded)
        let stopping = try LinuxIO.Thread(name: "stop") { server.stop() }
        try pause(milliseconds: 200)
        #expect(try client.receive(32 << 20).count == 32 << 20)
        #expect(try client.reply() == SimpleReply(error: .shutdown, cookie: 2))
        #expect(try client.reply() == SimpleReply(error: .shutdown, cookie: 3))
        #expect(try client.isClosed())
        stopping.join()
    }

    @Test("a client that takes no replies is cut off when the server stops")
    func stopWithStuckReader() throws {
        var options = ServerOptions()
        options.stopGracePeriod = .milliseconds(200)
        let server = try makeServer(size: 32 << 20, options: options)
        let client = try TestClient(to: server, export: "disk")
        try client.send(Request(.read, cookie: 1, offset: 0, length: 32 << 20))
        _ = try client.reply()
        let start = MonotonicTime.now()
        server.stop()
        #expect(start.adding(milliseconds: 5_000) > MonotonicTime.now())
    }

    @Test("clients come in by TCP, over both families, and by a Unix socket")
    func listeners() throws {
        let path = "/tmp/ramdisk-nbd-test-\(UInt64.random(in: 0...(.max))).sock"
        let unix = try #require(SocketAddress.unix(path: path))
        var listeners = [try Listener(unix: unix)]
        for host in ["127.0.0.1", "::1"] {
            let address = try #require(try SocketAddress.resolve(host: host, port: 0).first)
            listeners.append(try Listener(tcp: address))
        }
        let addresses = listeners.map(\.address)
        let export = Export(name: "", description: "", disk: try RamDisk(size: 4096))
        let server = try Server(exports: [export], listeners: listeners)
        try server.start()
        listeners = []
        for address in addresses {
            let socket = try StreamSocket.connect(to: address)
            let memory = try MemoryMapping(privateBytes: Greeting.encodedSize)
            #expect(socket.handle.receive(into: memory.region, blocking: true) == .bytes(18))
        }
        server.stop()
        #expect(throws: (any Error).self) { _ = try StreamSocket.connect(to: unix) }
    }

    @Test("a client that is handed over after the stop is closed at once")
    func lateClient() throws {
        let server = try makeServer()
        server.stop()
        let client = try TestClient(to: server)
        #expect(try client.isClosed())
    }

    @Test("a server that goes away stops by itself")
    func deinitStops() throws {
        let client: TestClient
        do {
            let server = try makeServer()
            client = try TestClient(to: server, export: "disk", keepsServer: false)
        }
        #expect(try client.isClosed())
    }
}
