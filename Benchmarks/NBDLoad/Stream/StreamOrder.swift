internal import ArgumentParser
internal import NBDProtocol

/// The direction of a stream.
enum StreamDirection: String, CaseIterable, ExpressibleByArgument {
    /// From the server, like the replies to reads.
    case read
    /// To the server, like writes.
    case write

    /// The value on the wire.
    var wireValue: UInt32 { self == .read ? 0 : 1 }
}

/// The first and only message of a stream's client: the parameters of the stream.
struct StreamOrder: Sendable {
    var direction: StreamDirection
    /// Size in bytes of the client's message in each exchange; 0 for a stream in one direction.
    var request: Int
    /// Size in bytes of the server's message in each exchange; 0 for a stream in one direction.
    var reply: Int

    /// Bytes of one call, for a stream in one direction.
    var chunk: Int

    /// Size on the wire, in bytes.
    static var encodedSize: Int { 16 }

    /// Whether client and server exchange messages, one at a time.
    var isPing: Bool { request > 0 }

    /// Creates an order for a stream in one direction.
    init(_ direction: StreamDirection, chunk: Int) {
        self.direction = direction
        self.chunk = chunk
        request = 0
        reply = 0
    }

    /// Creates an order for one request at a time, with as many bytes as NBD would move for it.
    init(oneAtATime direction: StreamDirection, blockSize: Int) {
        self.direction = direction
        request = Request.encodedSize + (direction == .write ? blockSize : 0)
        reply = SimpleReply.encodedSize + (direction == .read ? blockSize : 0)
        chunk = 0
    }

    /// Decodes an order. Returns nil if it is invalid.
    init?(decoding bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let number = reader.number(as: UInt32.self), number <= 1,
            let request = reader.number(as: UInt32.self), request <= StreamOrder.longest,
            let reply = reader.number(as: UInt32.self), reply <= StreamOrder.longest,
            let chunk = reader.number(as: UInt32.self), chunk <= StreamOrder.longest,
            request + chunk > 0
        else { return nil }
        direction = number == 0 ? .read : .write
        self.request = Int(request)
        self.reply = Int(reply)
        self.chunk = Int(chunk)
    }

    /// Largest size of a message or chunk, in bytes.
    static var longest: UInt32 { 16 << 20 }

    /// The message on the wire.
    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: direction.wireValue)
        bytes.append(bigEndian: UInt32(request))
        bytes.append(bigEndian: UInt32(reply))
        bytes.append(bigEndian: UInt32(chunk))
        return bytes
    }
}
