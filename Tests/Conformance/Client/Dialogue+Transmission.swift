internal import NBDProtocol

extension Dialogue {
    /// Sends a request with a new cookie, and returns the request as sent.
    @discardableResult
    func send(_ request: Request) throws -> Request {
        let request = marked(request)
        try channel.send(request.encoded(mode))
        return request
    }

    /// Sends requests in one message.
    func send(together requests: [Request]) throws -> [Request] {
        let requests = requests.map(marked)
        try channel.send(requests.flatMap { $0.encoded(mode) })
        return requests
    }

    /// Returns the request with a cookie, which is new unless the request has one, and registers it as pending.
    private func marked(_ request: Request) -> Request {
        var request = request
        if request.cookie == 0 {
            request.cookie = nextCookie
            nextCookie = nextCookie &* 6_364_136_223_846_793_005 &+ 1
        }
        if request.command != Command.disconnect { pending[request.cookie] = request }
        return request
    }

    /// Sends a request, and receives the reply.
    func call(_ request: Request) throws -> Answer {
        try receiveAnswers(to: [send(request)])[0]
    }

    /// Sends a request, and expects it to succeed.
    @discardableResult
    func succeed(_ request: Request) throws -> Answer {
        let answer = try call(request)
        try expect(answer.error == 0, "command \(request.command) fails with \(answer.error)")
        return answer
    }

    /// Sends a request, and expects it to fail with this error.
    func fail(_ request: Request, with error: UInt32) throws {
        let answer = try call(request)
        try expect(answer.error != 0, "the request succeeds")
        try expect(answer.error == error, "the error is \(answer.error) instead of \(error)")
    }

    /// Reads, and expects it to succeed.
    func read(_ offset: UInt64, _ length: UInt64) throws -> [UInt8] {
        try call(.read(offset, length)).content()
    }

    /// Checks that the connection is synchronized: the next request gets its reply.
    func expectAlive() throws {
        _ = try read(0, 4096)
    }

    // MARK: - Replies

    /// Receives until each of these requests has a complete reply. Replies may arrive in any order.
    func receiveAnswers(to requests: [Request]) throws -> [Answer] {
        var answers: [UInt64: Answer] = [:]
        var waiting = Set(requests.map(\.cookie))
        while !waiting.isEmpty {
            let (cookie, part) = try receiveReply()
            guard let request = pending[cookie] else {
                throw Deviation("a reply has the cookie \(hex(cookie)), which no request has")
            }
            var answer = answers[cookie] ?? Answer(request: request, isSimple: part.isSimple)
            answer.add(part)
            answers[cookie] = answer
            guard part.isSimple || answer.chunks.last?.isDone == true else { continue }
            pending[cookie] = nil
            waiting.remove(cookie)
        }
        return requests.compactMap { answers[$0.cookie] }
    }

    /// Receives one simple reply or one chunk.
    private func receiveReply() throws -> (cookie: UInt64, part: Answer) {
        var reader = ByteReader(try channel.receive(4))
        let magic = reader.number(as: UInt32.self) ?? 0
        switch (magic, mode) {
        case (Magic.simpleReply, .simple), (Magic.simpleReply, .structured):
            return try receiveSimpleReply()
        case (Magic.structuredReply, .structured): return try receiveStructuredChunk()
        case (Magic.extendedReply, .extended): return try receiveExtendedChunk()
        default: throw Deviation("a reply begins with \(hex(magic)) in \(mode.rawValue) mode")
        }
    }

    private func receiveSimpleReply() throws -> (cookie: UInt64, part: Answer) {
        var reader = ByteReader(try channel.receive(12))
        let error = reader.number(as: UInt32.self) ?? 0
        let cookie = reader.number(as: UInt64.self) ?? 0
        let request = try requestOf(cookie)
        let isRead = request.command == Command.read
        try expect(
            !isRead || mode == .simple, "the reply to READ is a simple one in structured mode")
        var answer = Answer(request: request, isSimple: true, simpleError: error)
        if isRead, error == 0 { answer.simpleData = try channel.receive(Int(request.length)) }
        return (cookie, answer)
    }

    private func receiveStructuredChunk() throws -> (cookie: UInt64, part: Answer) {
        var reader = ByteReader(try channel.receive(16))
        let flags = reader.number(as: UInt16.self) ?? 0
        let type = reader.number(as: UInt16.self) ?? 0
        let cookie = reader.number(as: UInt64.self) ?? 0
        let length = UInt64(reader.number(as: UInt32.self) ?? 0)
        return (cookie, try receiveChunk(flags, type, length, of: cookie))
    }

    private func receiveExtendedChunk() throws -> (cookie: UInt64, part: Answer) {
        var reader = ByteReader(try channel.receive(28))
        let flags = reader.number(as: UInt16.self) ?? 0
        let type = reader.number(as: UInt16.self) ?? 0
        let cookie = reader.number(as: UInt64.self) ?? 0
        let offset = reader.number(as: UInt64.self) ?? 0
        let length = reader.number(as: UInt64.self) ?? 0
        let asked = try requestOf(cookie).offset
        try expect(offset == asked, "a reply's offset is \(offset), its request's \(asked)")
        return (cookie, try receiveChunk(flags, type, length, of: cookie))
    }

    private func receiveChunk(
        _ flags: UInt16, _ type: UInt16, _ length: UInt64, of cookie: UInt64
    ) throws -> Answer {
        let request = try requestOf(cookie)
        try expect(length <= 8 + 64 << 20, "a chunk announces \(length) bytes")
        let payload = try channel.receive(Int(length))
        let chunk = Chunk(flags: flags, type: type, payload: payload)
        return Answer(request: request, isSimple: false, chunks: [chunk])
    }

    private func requestOf(_ cookie: UInt64) throws -> Request {
        guard let request = pending[cookie] else {
            throw Deviation("a reply has the cookie \(hex(cookie)), which no request has")
        }
        return request
    }
}

extension Answer {
    fileprivate mutating func add(_ part: Answer) {
        if part.isSimple { self = part } else { chunks += part.chunks }
    }
}
