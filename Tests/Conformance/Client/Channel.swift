internal import LinuxIO
internal import SystemPackage

/// How messages are split.
public enum Cut: Sendable, Hashable {
    /// Messages are sent whole.
    case whole
    /// The first bytes of a message are sent one at a time.
    case bytes
    /// Messages are sent in two parts, the second one a little later.
    case at(Int)

    /// Number of bytes of a message that are sent one at a time. Payloads are longer, but test nothing more.
    static let bytewiseLength = 96
    /// Milliseconds between two parts, so that the server probably receives the first one alone.
    static let pauseMilliseconds = 1
}

/// One connection, as a stream of bytes.
final class Channel {
    /// How messages are split from now on.
    var cut: Cut
    /// Seconds after which a silent server is given up.
    private let patience: Int
    private let socket: StreamSocket
    private let buffer: MemoryMapping

    init(_ socket: consuming StreamSocket, cut: Cut, patience: Int) throws {
        socket.handle.disableDelay()
        socket.handle.setSendTimeout(milliseconds: patience * 1000)
        self.patience = patience
        self.socket = socket
        self.cut = cut
        buffer = try MemoryMapping(privateBytes: 1 << 20)
    }

    /// Sends a message, split as configured.
    func send(_ bytes: [UInt8]) throws {
        switch cut {
        case .whole: try sendWhole(bytes[...])
        case .bytes:
            for byte in bytes.prefix(Cut.bytewiseLength) { try sendWhole([byte]) }
            try sendWhole(bytes.dropFirst(Cut.bytewiseLength))
        case .at(let position):
            try sendWhole(bytes.prefix(position))
            Self.pause(milliseconds: Cut.pauseMilliseconds)
            try sendWhole(bytes.dropFirst(position))
        }
    }

    private func sendWhole(_ bytes: ArraySlice<UInt8>) throws {
        var rest = bytes
        while !rest.isEmpty {
            let part = buffer.region.slice(at: 0, count: min(rest.count, buffer.region.count))
            part.copy(from: Array(rest.prefix(part.count)))
            switch socket.handle.send(part) {
            case .bytes(let count): rest = rest.dropFirst(count)
            case .wouldBlock: throw Deviation("the server read nothing for \(patience) seconds")
            case .endOfStream, .failed: throw Closed()
            }
        }
    }

    /// Receives exactly `count` bytes.
    func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            guard try socket.handle.waitReadable(milliseconds: patience * 1000) else {
                throw Deviation(
                    "the server sent nothing for \(patience) seconds, after \(bytes.count) of \(count) bytes"
                )
            }
            let room = min(count - bytes.count, buffer.region.count)
            let part = buffer.region.slice(at: 0, count: room)
            switch socket.handle.receive(into: part, blocking: false) {
            case .bytes(let count): bytes += part.slice(at: 0, count: count).bytes
            case .wouldBlock: continue
            case .endOfStream, .failed: throw Closed()
            }
        }
        return bytes
    }

    /// Expects the server to close without sending another byte.
    func expectClosed(_ why: String) throws {
        let bytes: [UInt8]
        do {
            guard try socket.handle.waitReadable(milliseconds: patience * 1000) else {
                throw Deviation(
                    "the server neither replied nor closed within \(patience) seconds: \(why)")
            }
            bytes = try receive(1)
        } catch is Closed {
            return
        }
        throw Deviation("the server sent a byte (\(bytes[0])) instead of closing: \(why)")
    }

    /// Sleeps.
    static func pause(milliseconds: Int) {
        Thread.sleep(milliseconds: milliseconds)
    }

    /// Receives until the server closes.
    func drain() throws {
        do {
            while true { _ = try receive(1) }
        } catch is Closed {}
    }

    /// Shuts down sending.
    func finishSending() { socket.handle.shutdownSending() }
}

/// The server has closed the connection.
struct Closed: Error, CustomStringConvertible {
    var description: String { "the server closed the connection" }
}
