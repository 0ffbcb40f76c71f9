import LinuxIO
import NBDServer
import SystemPackage

/// The client's end of a socket pair.
///
/// It never waits for one direction only. Otherwise client and server could deadlock: the server waits for the
/// client to read replies, while the client waits for the server to read requests.
final class Link {
    /// Milliseconds after which the server is considered hung.
    private static let timeout = 60_000

    /// Size of each disk in bytes.
    static let diskSize = 256 << 10

    /// The server, which is started once. Inputs run one after the other, each until its connection has ended.
    private static let server: Server = {
        var options = ServerOptions()
        options.busyPolling = .zero
        do {
            let exports = [
                Export(
                    name: "sparse", description: "pages come and go",
                    disk: try RamDisk(size: UInt64(diskSize), isSparse: true)),
                Export(
                    name: "plain", description: "pages stay",
                    disk: try RamDisk(size: UInt64(diskSize))),
                Export(
                    name: "fixed", description: "",
                    disk: try RamDisk(size: UInt64(diskSize), isSparse: true), isReadOnly: true),
            ]
            let server = try Server(exports: exports, options: options)
            try server.start()
            return server
        } catch {
            fatalError("cannot start the server: \(error)")
        }
    }()

    private let socket: StreamSocket
    private let buffer: MemoryMapping
    /// The received bytes.
    private(set) var received: [UInt8] = []
    private var read = 0
    /// Whether the server has closed the connection.
    private(set) var isClosed = false

    /// A connection to the server of all targets that need no other.
    convenience init() { self.init(to: Self.server) }

    /// A connection to a server.
    convenience init(to server: Server) {
        do {
            let pair = try StreamSocket.pair()
            server.serve(pair.second)
            self.init(pair.first)
        } catch {
            fatalError("cannot create a connection: \(error)")
        }
    }

    /// The client's end of a connection.
    init(_ socket: consuming StreamSocket) {
        self.socket = socket
        do {
            buffer = try MemoryMapping(privateBytes: 1 << 20)
        } catch {
            fatalError("cannot map memory: \(error)")
        }
    }

    /// Has every call return at once, also those of others that use the descriptor.
    func stopBlocking() { socket.handle.setBlocking(false) }

    /// Waits until there is something to receive, and leaves it there.
    func awaitInput() {
        guard (try? socket.handle.waitReadable(milliseconds: Self.timeout)) == true else {
            fatalError("the server hangs")
        }
    }

    /// The number of the socket's descriptor.
    var descriptor: CInt { socket.handle.withDescriptor { $0 } }

    /// Sends all bytes, and receives what arrives meanwhile.
    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty, !isClosed {
            let part = buffer.region.slice(at: 0, count: min(rest.count, 256 << 10))
            part.copy(from: Array(rest.prefix(part.count)))
            switch socket.handle.send(part, blocking: false) {
            case .bytes(let count): rest = rest.dropFirst(count)
            case .wouldBlock:
                wait()
                take()
            case .endOfStream, .failed: return drain()
            }
        }
    }

    /// Returns the next `count` bytes from the server, or nil if it closes the connection before.
    func receive(_ count: Int) -> [UInt8]? {
        while received.count - read < count {
            guard !isClosed else { return nil }
            wait()
            take()
        }
        defer { read += count }
        return Array(received[read..<read + count])
    }

    /// Receives what has arrived, without waiting.
    func poll() { take() }

    /// Receives what arrives within this time, if anything does.
    func poll(milliseconds: Int) {
        guard (try? socket.handle.waitReadable(milliseconds: milliseconds)) == true else { return }
        take()
    }

    /// Shuts down sending, and receives the rest of what the server sends.
    func finish() {
        socket.handle.shutdownSending()
        drain()
    }

    /// Receives until the server closes the connection.
    func drain() {
        while !isClosed {
            wait()
            take()
        }
    }

    private func wait() {
        do {
            guard try socket.handle.waitEither(milliseconds: Self.timeout).isEmpty else {
                // There is nearly always room to send, so wait for input.
                _ = try socket.handle.waitReadable(milliseconds: 1)
                return
            }
        } catch {
            fatalError("cannot wait: \(error)")
        }
        fatalError("the server hangs")
    }

    private func take() {
        let room = buffer.region.suffix(from: 512 << 10)
        switch socket.handle.receive(into: room, blocking: false) {
        case .bytes(let count): received += room.slice(at: 0, count: count).bytes
        case .wouldBlock: break
        case .endOfStream, .failed: isClosed = true
        }
    }
}
