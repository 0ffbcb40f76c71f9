internal import LinuxIO
internal import SystemPackage

/// How a message is cut on its way.
public enum Cut: Sendable, Hashable {
    /// Not at all.
    case whole
    /// A byte at a time, as far as the first bytes of a message go.
    case bytes
    /// In two, the second part a little later.
    case at(Int)

    /// Bytes of a message that are sent one at a time; payloads are longer, and say nothing new.
    static let bytewiseLength = 96
    /// Milliseconds between two parts, so that the server is likely to see the first alone.
    static let pauseMilliseconds = 1
}

/// One connection, as a stream of bytes.
final class Channel {
    /// How messages are cut from here on.
    var cut: Cut
    /// Seconds after which a server that says nothing is given up.
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

    /// Sends a message, cut as is wanted.
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
            case .wouldBlock: throw Deviation("the server reads nothing for \(patience) seconds")
            case .endOfStream, .failed: throw Closed()
            }
        }
    }

    /// Receives exactly so many bytes.
    func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            guard try socket.handle.waitReadable(milliseconds: patience * 1000) else {
                throw Deviation(
                    "the server says nothing for \(patience) seconds, after \(bytes.count) of \(count) bytes"
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

    /// Expects the server to close, without another byte.
    func expectClosed(_ why: String) throws {
        let bytes: [UInt8]
        do {
            guard try socket.handle.waitReadable(milliseconds: patience * 1000) else {
                throw Deviation(
                    "the server neither answers nor closes within \(patience) seconds: \(why)")
            }
            bytes = try receive(1)
        } catch is Closed {
            return
        }
        throw Deviation("the server goes on (with byte \(bytes[0])) instead of closing: \(why)")
    }

    /// Lets some time go by.
    static func pause(milliseconds: Int) {
        Thread.sleep(milliseconds: milliseconds)
    }

    /// Receives what comes until the server closes.
    func drain() throws {
        do {
            while true { _ = try receive(1) }
        } catch is Closed {}
    }

    /// Says that there is no more to come.
    func finishSending() { socket.handle.shutdownSending() }
}

/// The server has closed the connection.
struct Closed: Error, CustomStringConvertible {
    var description: String { "the server closes the connection" }
}
