import NBDProtocol

/// The result of one request.
struct Verdict {
    var error: UInt32 = 0
    /// The data of a READ.
    var data: [UInt8] = []
    /// Length and flags of each extent of a BLOCK_STATUS.
    var extents: [(length: UInt64, flags: UInt64)] = []

    /// Receives the reply to a request. Returns nil if the server closes the connection instead.
    static func receive(to order: Order, _ format: HeaderFormat, from link: Link) -> Verdict? {
        var verdict = Verdict()
        let isRead = order.command == 0 && order.length <= 1 << 20
        verdict.data = [UInt8](repeating: 0, count: isRead ? Int(order.length) : 0)
        var covered: UInt64 = 0
        while true {
            guard let header = Header(from: link, format) else { return nil }
            precondition(header.cookie == order.cookie, "a reply to another request")
            if header.isSimple {
                precondition(format == .simple || order.command != 0, "a simple reply to READ")
                verdict.error = header.error
                guard order.command == 0, header.error == 0 else { return verdict }
                guard let data = link.receive(verdict.data.count) else { return nil }
                verdict.data = data
                return verdict
            }
            precondition(
                format != .extended || header.offset == order.offset,
                "the chunk has another offset than the request")
            guard let payload = link.receive(Int(header.length)) else { return nil }
            covered += verdict.store(header, payload, order, format)
            guard header.isDone else { continue }
            precondition(
                verdict.error != 0 || order.command != 0 || covered == order.length,
                "the reply to a READ is incomplete")
            precondition(
                verdict.error != 0 || order.command != 7 || !verdict.extents.isEmpty,
                "the reply to a BLOCK_STATUS has no extents")
            return verdict
        }
    }

    /// Stores a chunk, and returns the number of bytes of a READ that it covers.
    private mutating func store(
        _ header: Header, _ payload: [UInt8], _ order: Order, _ format: HeaderFormat
    ) -> UInt64 {
        var reader = ByteReader(payload)
        switch header.type {
        case 0: precondition(payload.isEmpty && header.isDone, "NONE")
        case 1, 2:
            guard order.command == 0, let offset = reader.number(as: UInt64.self) else {
                preconditionFailure("a content chunk in reply to another command than READ")
            }
            let hole = header.type == 2 ? reader.number(as: UInt32.self) ?? 0 : 0
            let content =
                header.type == 2
                ? [UInt8](repeating: 0, count: Int(hole)) : Array(payload.dropFirst(8))
            precondition(!content.isEmpty && (header.type == 1 || payload.count == 12), "content")
            let start = Int(offset - order.offset)
            data.replaceSubrange(start..<start + content.count, with: content)
            return UInt64(content.count)
        case 5 where format == .structured: storeExtents(&reader, width: 4)
        case 6 where format == .extended: storeExtents(&reader, width: 8)
        case 0x8001, 0x8002:
            error = reader.number(as: UInt32.self) ?? 0
            let length = Int(reader.number(as: UInt16.self) ?? 0)
            precondition(error != 0 && reader.string(length) != nil, "an error chunk")
        default: preconditionFailure("a chunk of type \(header.type)")
        }
        return 0
    }

    private mutating func storeExtents(_ reader: inout ByteReader, width: Int) {
        _ = reader.number(as: UInt32.self)
        if width == 8 {
            let count = reader.number(as: UInt32.self) ?? 0
            precondition(Int(count) * 16 == reader.remaining, "the number of extents is wrong")
        }
        while reader.remaining > 0 {
            let words = (0..<2).map { _ in
                width == 8
                    ? reader.number(as: UInt64.self)
                    : reader.number(as: UInt32.self).map(UInt64.init)
            }
            guard let length = words[0], let flags = words[1], length > 0 else {
                preconditionFailure("an extent is incomplete or empty")
            }
            extents.append((length, flags))
        }
    }
}

/// The header of a simple reply or chunk.
private struct Header {
    var isSimple = false
    var isDone = true
    var type: UInt16 = 0
    var error: UInt32 = 0
    var cookie: UInt64 = 0
    var offset: UInt64 = 0
    var length: UInt64 = 0

    init?(from link: Link, _ format: HeaderFormat) {
        guard let head = link.receive(4) else { return nil }
        let magic = head.reduce(0) { $0 << 8 | UInt32($1) }
        isSimple = magic == 0x6744_6698
        let size =
            switch (magic, format) {
            case (0x6744_6698, .simple), (0x6744_6698, .structured): 12
            case (0x668e_33ef, .structured): 16
            case (0x6e8a_278c, .extended): 28
            default: preconditionFailure("a reply with magic \(String(magic, radix: 16))")
            }
        guard let bytes = link.receive(size) else { return nil }
        var reader = ByteReader(bytes)
        if isSimple {
            error = reader.number() ?? 0
            cookie = reader.number() ?? 0
            return
        }
        let flags: UInt16 = reader.number() ?? 0
        precondition(flags <= 1, "reply flags")
        isDone = flags == 1
        type = reader.number() ?? 0
        cookie = reader.number() ?? 0
        if format == .extended {
            offset = reader.number() ?? 0
            length = reader.number() ?? 0
        } else {
            length = UInt64(reader.number(as: UInt32.self) ?? 0)
        }
        precondition(length <= 8 + 64 << 20, "a chunk's length")
    }
}
