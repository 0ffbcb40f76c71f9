import LinuxIO
import NBDServer
import SystemPackage

/// The client's end of a socket pair.
///
/// It never waits for one direction only. Otherwise client and server could deadlock: the server waits for the
/// client to read replies, while the client waits for the server to read requests.
final class Link {
    /// Milliseconds after which the server is considered hung.
    private static let timeout = 20_000

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
    private var received: [UInt8] = []
    private var read = 0
    /// Whether the server has closed the connection.
    private(set) var isClosed = false

    init() {
        do {
            let pair = try StreamSocket.pair()
            buffer = try MemoryMapping(privateBytes: 1 << 20)
            Self.server.serve(pair.second)
            socket = pair.first
        } catch {
            fatalError("cannot create a connection: \(error)")
        }
    }

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

    /// Shuts down sending, and receives the rest of what the server sends.
    func finish() {
        socket.handle.shutdownSending()
        drain()
    }

    private func drain() {
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
