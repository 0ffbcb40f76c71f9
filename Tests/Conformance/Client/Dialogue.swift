internal import NBDProtocol

/// One connection, from the greeting on. A case sends messages and checks the replies.
final class Dialogue {
    let channel: Channel
    /// The flags in the greeting.
    let handshakeFlags: UInt16
    /// The export that the URI names.
    let exportName: String
    /// The message format of the transmission phase.
    var mode = Mode.simple
    /// Size and flags of the chosen export.
    var export = ExportFacts()
    /// The selected contexts with their identifiers.
    var contexts: [Context] = []
    /// Requests without a complete reply.
    var pending: [UInt64: Request] = [:]
    /// Cookie of the next request: a large number, which a server does not send by chance.
    var nextCookie: UInt64 = 0x9e37_79b9_7f4a_7c15

    init(_ channel: consuming Channel, exportName: String) throws {
        var reader = ByteReader(try channel.receive(18))
        guard reader.number(as: UInt64.self) == Magic.greeting,
            reader.number(as: UInt64.self) == Magic.option,
            let flags = reader.number(as: UInt16.self)
        else { throw Deviation("the greeting is not that of a newstyle server") }
        self.channel = channel
        handshakeFlags = flags
        self.exportName = exportName
    }

    /// Sends the client flags.
    func sendFlags(_ flags: UInt32) throws {
        try channel.send(encoded { $0.append(bigEndian: flags) })
    }

    // MARK: - Options

    /// Sends an option. `length` overrides the true length.
    func send(option: UInt32, _ data: [UInt8] = [], length: UInt32? = nil) throws {
        try channel.send(optionMessage(option, data, length: length))
    }

    /// Receives one reply, which must belong to this option.
    func receiveReply(to option: UInt32) throws -> OptionReply {
        var reader = ByteReader(try channel.receive(20))
        let magic = reader.number(as: UInt64.self) ?? 0
        try expect(magic == Magic.optionReply, "an option reply begins with \(hex(magic))")
        let answered = reader.number(as: UInt32.self) ?? 0
        try expect(answered == option, "the reply to option \(option) names option \(answered)")
        let code = reader.number(as: UInt32.self) ?? 0
        let length = reader.number(as: UInt32.self) ?? 0
        try expect(length <= 1 << 20, "an option reply announces \(length) bytes of data")
        return OptionReply(option: option, code: code, data: try channel.receive(Int(length)))
    }

    /// Receives all replies to an option.
    func receiveAnswer(to option: UInt32) throws -> OptionAnswer {
        var replies: [OptionReply] = []
        while replies.count < 10_000 {
            let reply = try receiveReply(to: option)
            if reply.isFinal { return OptionAnswer(replies: replies, end: reply) }
            replies.append(reply)
        }
        throw Deviation("the server sent 10,000 replies to option \(option)")
    }

    /// Sends an option, and receives all replies.
    func ask(_ option: UInt32, _ data: [UInt8] = [], length: UInt32? = nil) throws -> OptionAnswer {
        try send(option: option, data, length: length)
        return try receiveAnswer(to: option)
    }

    /// Selects contexts of the export, and stores the result.
    @discardableResult
    func setContexts(_ queries: [String], export: String? = nil) throws -> OptionAnswer {
        let answer = try ask(
            Option.setMetaContext, contextQuery(export ?? exportName, queries))
        contexts = answer.end.code == Reply.ack ? answer.contexts : []
        return answer
    }

    /// Negotiates a mode, and expects the server to agree.
    func negotiate(_ mode: Mode) throws {
        self.mode = mode
        let option: UInt32
        switch mode {
        case .simple: return
        case .structured: option = Option.structuredReply
        case .extended: option = Option.extendedHeaders
        }
        let answer = try ask(option)
        try expect(
            answer.end.code == Reply.ack, "the reply to option \(option) is with \(answer.end)")
    }

    /// Enters the transmission phase with GO.
    func go(_ name: String, ask types: [UInt16] = []) throws {
        let answer = try ask(Option.go, information(name, types))
        try expect(answer.end.code == Reply.ack, "the reply to GO is \(answer.end)")
        guard let facts = try answer.facts else {
            throw Deviation("the reply to GO has no size and flags")
        }
        export = facts
    }

    /// Checks that the connection is still in the handshake: the server rejects an unknown option.
    func expectNegotiating() throws {
        let answer = try ask(Option.unknown)
        try expect(
            answer.end.code == Reply.unsupported,
            "the reply to an unknown option after that is \(answer.end)")
    }
}

// MARK: - Messages

/// Returns the bytes of a message that a closure appends.
func encoded(_ build: (inout [UInt8]) -> Void) -> [UInt8] {
    var bytes: [UInt8] = []
    build(&bytes)
    return bytes
}

/// Returns an option with its data.
func optionMessage(_ option: UInt32, _ data: [UInt8] = [], length: UInt32? = nil) -> [UInt8] {
    encoded {
        $0.append(bigEndian: Magic.option)
        $0.append(bigEndian: option)
        $0.append(bigEndian: length ?? UInt32(data.count))
        $0 += data
    }
}

/// Returns the data of INFO and GO. `nameLength` and `count` override the true values.
func information(
    _ name: String, _ types: [UInt16] = [], nameLength: UInt32? = nil, count: UInt16? = nil
) -> [UInt8] {
    information(bytes: Array(name.utf8), types, nameLength: nameLength, count: count)
}

/// Returns the data of INFO and GO for a name that need not be a valid string.
func information(
    bytes name: [UInt8], _ types: [UInt16] = [], nameLength: UInt32? = nil, count: UInt16? = nil
) -> [UInt8] {
    encoded {
        $0.append(bigEndian: nameLength ?? UInt32(name.count))
        $0 += name
        $0.append(bigEndian: count ?? UInt16(types.count))
        for type in types { $0.append(bigEndian: type) }
    }
}

/// Returns the data of LIST_META_CONTEXT and SET_META_CONTEXT. Lengths and count override the true values.
func contextQuery(
    _ name: String, _ queries: [String], nameLength: UInt32? = nil, count: UInt32? = nil,
    lastLength: UInt32? = nil
) -> [UInt8] {
    encoded {
        $0.append(bigEndian: nameLength ?? UInt32(name.utf8.count))
        $0 += Array(name.utf8)
        $0.append(bigEndian: count ?? UInt32(queries.count))
        for (index, query) in queries.enumerated() {
            let length = index == queries.count - 1 ? lastLength : nil
            $0.append(bigEndian: length ?? UInt32(query.utf8.count))
            $0 += Array(query.utf8)
        }
    }
}

/// Returns a number in hexadecimal notation.
func hex(_ number: some BinaryInteger) -> String { "0x" + String(number, radix: 16) }
