internal import ArgumentParser
internal import NBDProtocol

/// Which way the bytes go.
enum StreamDirection: String, CaseIterable, ExpressibleByArgument {
    /// From the server, as the answers to reads would.
    case read
    /// To the server, as writes would.
    case write

    /// As it travels.
    var number: UInt32 { self == .read ? 0 : 1 }
}

/// The first and only message of a stream's client.
struct StreamOrder: Sendable {
    var direction: StreamDirection
    /// Bytes in each question and in each answer, when it is one at a time; both 0 for bytes without
    /// a pause.
    var question: Int
    var answer: Int

    /// Bytes of one call, when it is not one at a time.
    var chunk: Int

    /// Bytes on the wire.
    static var encodedSize: Int { 16 }

    /// Whether there is one question at a time.
    var isPing: Bool { question > 0 }

    /// An order for bytes without a pause.
    init(_ direction: StreamDirection, chunk: Int) {
        self.direction = direction
        self.chunk = chunk
        question = 0
        answer = 0
    }

    /// An order for one request at a time, with as many bytes as NBD would move for it.
    init(oneAtATime direction: StreamDirection, blockSize: Int) {
        self.direction = direction
        question = Request.encodedSize + (direction == .write ? blockSize : 0)
        answer = SimpleReply.encodedSize + (direction == .read ? blockSize : 0)
        chunk = 0
    }

    /// Nil when it makes no sense.
    init?(decoding bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let number = reader.number(as: UInt32.self), number <= 1,
            let question = reader.number(as: UInt32.self), question <= StreamOrder.longest,
            let answer = reader.number(as: UInt32.self), answer <= StreamOrder.longest,
            let chunk = reader.number(as: UInt32.self), chunk <= StreamOrder.longest,
            question + chunk > 0
        else { return nil }
        direction = number == 0 ? .read : .write
        self.question = Int(question)
        self.answer = Int(answer)
        self.chunk = Int(chunk)
    }

    /// Longest question, answer or chunk in bytes.
    static var longest: UInt32 { 16 << 20 }

    /// The message as it travels.
    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: direction.number)
        bytes.append(bigEndian: UInt32(question))
        bytes.append(bigEndian: UInt32(answer))
        bytes.append(bigEndian: UInt32(chunk))
        return bytes
    }
}
