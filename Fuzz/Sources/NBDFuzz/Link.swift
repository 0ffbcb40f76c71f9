import LinuxIO
import NBDServer
import SystemPackage

/// A client's end of a socket pair. It never waits for one direction only: a server that waits for
/// its replies to be taken must not wait for a client that waits for its request to be taken.
final class Link {
    /// Milliseconds after which the server is said to hang.
    private static let patience = 20_000

    /// Size of each disk.
    static let diskSize = 256 << 10

    /// Started once; inputs come one after the other, and each sees its connection to its end.
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
            fatalError("no server to fuzz: \(error)")
        }
    }()

    private let socket: StreamSocket
    private let buffer: MemoryMapping
    private var received: [UInt8] = []
    private var read = 0
    /// Whether the server has closed.
    private(set) var isClosed = false

    init() {
        do {
            let pair = try StreamSocket.pair()
            buffer = try MemoryMapping(privateBytes: 1 << 20)
            Self.server.serve(pair.second)
            socket = pair.first
        } catch {
            fatalError("no connection: \(error)")
        }
    }

    /// Sends all of it, and meanwhile takes what comes.
    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty, !isClosed {
            let part = buffer.region.slice(at: 0, count: min(rest.count, 256 << 10))
            part.copy(from: Array(rest.prefix(part.count)))
            switch socket.handle.send(part, wait: false) {
            case .bytes(let count): rest = rest.dropFirst(count)
            case .wouldBlock:
                wait()
                take()
            case .endOfStream, .failed: return drain()
            }
        }
    }

    /// The next bytes that the server sends; nil when it closes before there are so many.
    func receive(_ count: Int) -> [UInt8]? {
        while received.count - read < count {
            guard !isClosed else { return nil }
            wait()
            take()
        }
        defer { read += count }
        return Array(received[read..<read + count])
    }

    /// Takes what has come, and does not wait: there may be nothing to come.
    func look() { take() }

    /// Says that no more comes, and takes what the server still sends.
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
            guard try socket.handle.waitEither(milliseconds: Self.patience).isEmpty else {
                // Room to send is nearly always there: only input is worth waking up for.
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
        switch socket.handle.receive(into: room, wait: false) {
        case .bytes(let count): received += room.slice(at: 0, count: count).bytes
        case .wouldBlock: break
        case .endOfStream, .failed: isClosed = true
        }
    }
}
