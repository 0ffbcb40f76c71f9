import LinuxIO
import NBDProtocol
import NBDServer
import SystemPackage
import Testing

/// One end of a socket pair; the other is being served.
final class TestClient: Sendable {
    /// Milliseconds after which a test stops waiting, and fails.
    static let patience = 10_000

    private let socket: StreamSocket
    /// Keeps the server running while a client is connected; nil for a client that does not count.
    private let server: Server?
    /// The messages that it speaks, once the handshake is over.
    let format: HeaderFormat

    /// A client that has just connected.
    init(
        to server: Server, format: HeaderFormat = .simple, keepsServer: Bool = true,
        in group: ConnectionGroup? = nil
    ) throws {
        let pair = try StreamSocket.pair()
        if let group {
            _ = server.serve(pair.second, in: group)
        } else {
            server.serve(pair.second)
        }
        socket = pair.first
        self.server = keepsServer ? server : nil
        self.format = format
    }

    /// A client that has an export, through plain GO.
    convenience init(
        to server: Server, export: String, keepsServer: Bool = true,
        in group: ConnectionGroup? = nil
    ) throws {
        try self.init(to: server, keepsServer: keepsServer, in: group)
        _ = try receive(Greeting.encodedSize)
        try send([0, 0, 0, 3])
        try send(option(.go, InfoRequest(exportName: export).encoded))
        while try optionReply().code != .ack {}
    }

    /// A client that speaks structured or extended messages, and has asked for `base:allocation` if it
    /// wants that.
    convenience init(
        to server: Server, _ format: HeaderFormat, wantsContext: Bool = false
    ) throws {
        try self.init(to: server, format, contexts: wantsContext ? ["base:allocation"] : [])
    }

    /// A client that speaks structured or extended messages, and has selected contexts.
    convenience init(to server: Server, _ format: HeaderFormat, contexts: [String]) throws {
        try self.init(to: server, format: format)
        _ = try receive(Greeting.encodedSize)
        try send([0, 0, 0, 3])
        try send(option(format == .extended ? .extendedHeaders : .structuredReply))
        #expect(try optionReply().code == .ack)
        if !contexts.isEmpty {
            let request = MetadataRequest(exportName: "", queries: contexts)
            try send(option(.setMetaContext, request.encoded))
            for _ in contexts { #expect(try optionReply().code == .metaContext) }
            #expect(try optionReply().code == .ack)
        }
        try send(option(.go, InfoRequest(exportName: "").encoded))
        while try optionReply().code != .ack {}
    }

    // MARK: - Bytes

    /// Sends all of them, in one piece or in pieces of so many bytes.
    func send(_ bytes: [UInt8], pieces: Int = .max) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = Array(rest.prefix(pieces))
            rest = rest.dropFirst(piece.count)
            let memory = try MemoryMapping(privateBytes: piece.count)
            memory.region.copy(from: piece)
            var list = VectorList(capacity: 1)
            list.append(memory.region)
            while !list.isEmpty {
                guard case .bytes(let count) = socket.handle.send(list) else { throw Broken() }
                list.consume(count)
            }
        }
    }

    /// Receives exactly `count` bytes; throws when the server closes earlier or takes too long.
    func receive(_ count: Int) throws -> [UInt8] {
        guard count > 0 else { return [] }
        let memory = try MemoryMapping(privateBytes: count)
        var received = 0
        while received < count {
            guard try socket.handle.waitReadable(milliseconds: Self.patience) else {
                throw TooSlow()
            }
            let rest = memory.region.suffix(from: received)
            guard case .bytes(let more) = socket.handle.receive(into: rest, blocking: false) else {
                throw Broken()
            }
            received += more
        }
        return memory.region.bytes
    }

    /// Whether the server closes without another byte.
    func isClosed() throws -> Bool {
        let memory = try MemoryMapping(privateBytes: 1)
        guard try socket.handle.waitReadable(milliseconds: Self.patience) else { throw TooSlow() }
        switch socket.handle.receive(into: memory.region, blocking: false) {
        case .endOfStream, .failed: return true
        case .bytes, .wouldBlock: return false
        }
    }

    /// Whether nothing is to be read at this moment.
    func isSilent(milliseconds: Int) throws -> Bool {
        !(try socket.handle.waitReadable(milliseconds: milliseconds))
    }

    /// Says that there is no more to come, and leaves the other direction open.
    func finishSending() { socket.handle.shutdownSending() }

    /// Shuts both directions down, as the kernel does with a connection that it gives up.
    func shutDown() { socket.handle.shutdownBoth() }

    // MARK: - Messages

    /// An option with its data.
    func option(_ code: OptionCode, _ data: [UInt8] = []) -> [UInt8] {
        OptionHeader(code: code, length: UInt32(data.count)).encoded + data
    }

    /// The next option reply.
    func optionReply() throws -> (code: OptionReplyCode, data: [UInt8]) {
        let bytes = try receive(OptionReplyHeader.encodedSize)
        let header = try #require(OptionReplyHeader(decoding: unsafe bytes.span.bytes))
        return (header.code, try receive(Int(header.length)))
    }

    /// Sends a request, and a payload behind it.
    func send(_ request: Request, _ payload: [UInt8] = []) throws {
        try send(request.encoded(format) + payload)
    }

    /// The next reply's header.
    func reply() throws -> SimpleReply {
        let bytes = try receive(SimpleReply.encodedSize)
        return try #require(SimpleReply(decoding: unsafe bytes.span.bytes))
    }

    /// Sends a request and waits for its answer, which has to carry its cookie.
    func call(_ request: Request, _ payload: [UInt8] = []) throws -> WireError {
        try send(request, payload)
        let reply = try reply()
        #expect(reply.cookie == request.cookie)
        return reply.error
    }

    /// Reads, and expects it to go well.
    func read(at offset: UInt64, count: Int) throws -> [UInt8] {
        let error = try call(
            Request(.read, cookie: 0xfeed, offset: offset, length: UInt64(count)))
        #expect(error == .none)
        return try receive(count)
    }

    /// Writes, and expects it to go well.
    func write(_ bytes: [UInt8], at offset: UInt64) throws {
        let request = Request(.write, cookie: 0xbeef, offset: offset, length: UInt64(bytes.count))
        let error = try call(request, bytes)
        #expect(error == .none)
    }

    struct TooSlow: Error {}
    struct Broken: Error {}
}

extension Request {
    /// The compact request as it travels.
    var encoded: [UInt8] { encoded(.simple) }

    /// The request as it travels.
    func encoded(_ format: HeaderFormat) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: format.requestSize)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        encode(into: &raw, as: format)
        return bytes
    }
}

/// A server of one small disk, and whatever else a test wants of it.
func makeServer(
    size: UInt64 = 1 << 20, isSparse: Bool = false, isReadOnly: Bool = false,
    options: ServerOptions = ServerOptions(), events: EventRecord = EventRecord()
) throws -> Server {
    let disk = try RamDisk(size: size, isSparse: isSparse)
    return try makeServer(disk, isReadOnly: isReadOnly, options: options, events: events)
}

/// A server of a disk that the test keeps an eye on.
func makeServer(
    _ disk: RamDisk, isReadOnly: Bool = false, options: ServerOptions = ServerOptions(),
    events: EventRecord = EventRecord()
) throws -> Server {
    let export = Export(name: "disk", description: "ramdisk", disk: disk, isReadOnly: isReadOnly)
    let server = try Server(exports: [export], options: options, onEvent: { events.record($0) })
    try server.start()
    return server
}

/// Bytes that are not zero, and differ from place to place.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 56) | 1
    }
}
