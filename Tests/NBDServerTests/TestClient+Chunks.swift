import NBDProtocol
import Testing

/// A chunk with what follows its header.
struct Chunk: Equatable {
    var header: ReplyChunk
    var content: [UInt8]

    /// The big-endian number at a place in the content.
    func number<Number: FixedWidthInteger>(at offset: Int, as type: Number.Type) -> Number {
        var reader = ByteReader(Array(content.dropFirst(offset)))
        return reader.number() ?? 0
    }
}

/// What an error chunk says.
struct ChunkError: Equatable {
    var error: WireError
    var message: String
    /// Only in `NBD_REPLY_TYPE_ERROR_OFFSET`.
    var offset: UInt64?
}

extension TestClient {
    /// The next chunk.
    func chunk() throws -> Chunk {
        let bytes = try receive(format.chunkHeaderSize)
        let header = try #require(ReplyChunk(decoding: unsafe bytes.span.bytes, as: format))
        return Chunk(header: header, content: try receive(Int(header.length)))
    }

    /// All chunks of the answer to a request, which is sent first.
    func chunks(_ request: Request, _ payload: [UInt8] = []) throws -> [Chunk] {
        try send(request, payload)
        var chunks: [Chunk] = []
        repeat {
            chunks.append(try chunk())
            #expect(chunks.last?.header.cookie == request.cookie)
            if format == .extended { #expect(chunks.last?.header.offset == request.offset) }
        } while chunks.last?.header.isLast == false
        return chunks
    }

    /// Sends a request that has to be refused, and answers with what.
    func error(_ request: Request, _ payload: [UInt8] = []) throws -> ChunkError {
        let chunks = try chunks(request, payload)
        #expect(chunks.count == 1)
        let chunk = chunks[0]
        let error = WireError(rawValue: chunk.number(at: 0, as: UInt32.self))
        let length = Int(chunk.number(at: 4, as: UInt16.self))
        let message = String(decoding: chunk.content.dropFirst(6).prefix(length), as: UTF8.self)
        switch chunk.header.type {
        case .error:
            #expect(chunk.content.count == 6 + length)
            return ChunkError(error: error, message: message)
        case .errorOffset:
            #expect(chunk.content.count == 14 + length)
            let offset = chunk.number(at: 6 + length, as: UInt64.self)
            return ChunkError(error: error, message: message, offset: offset)
        default:
            Issue.record("a chunk of type \(chunk.header.type.rawValue) is not an error")
            return ChunkError(error: .none, message: "")
        }
    }

    /// Reads, and checks that the chunks cover the range, each byte once.
    func readChunks(
        at offset: UInt64, count: Int, flags: CommandFlags = []
    ) throws -> (bytes: [UInt8], types: [ChunkType]) {
        let request = Request(
            .read, flags: flags, cookie: 0xfeed, offset: offset, length: UInt64(count))
        let chunks = try chunks(request)
        var bytes: [UInt8] = []
        for chunk in chunks {
            #expect(chunk.number(at: 0, as: UInt64.self) == offset + UInt64(bytes.count))
            switch chunk.header.type {
            case .offsetData:
                #expect(chunk.content.count > 8)
                bytes += chunk.content.dropFirst(8)
            case .offsetHole:
                #expect(chunk.content.count == 12)
                let count = Int(chunk.number(at: 8, as: UInt32.self))
                #expect(count > 0)
                bytes += [UInt8](repeating: 0, count: count)
            default: Issue.record("a chunk of type \(chunk.header.type.rawValue) in a read")
            }
        }
        #expect(bytes.count == count)
        return (bytes, chunks.map(\.header.type))
    }

    /// Writes, trims or whatever has no data in its answer, and expects it to go well.
    func done(_ request: Request, _ payload: [UInt8] = []) throws {
        guard format == .extended else {
            return #expect(try call(request, payload) == .none)
        }
        let chunks = try chunks(request, payload)
        #expect(chunks.map(\.header.type) == [.none])
        #expect(chunks[0].content.isEmpty)
    }

    /// The extents of a range in `base:allocation`.
    func extents(
        at offset: UInt64, count: UInt64, flags: CommandFlags = [], payload: [UInt8] = []
    ) throws -> [Extent] {
        let chunks = try statusChunks(at: offset, count: count, flags: flags, payload: payload)
        #expect(chunks.map(\.context) == [0])
        return try #require(chunks.first).extents
    }

    /// The extents of a range in each context, by its index, in the order of the chunks.
    func statusChunks(
        at offset: UInt64, count: UInt64, flags: CommandFlags = [], payload: [UInt8] = []
    ) throws -> [(context: Int, extents: [Extent])] {
        let length = payload.isEmpty ? count : UInt64(payload.count)
        let request = Request(
            .blockStatus, flags: flags, cookie: 0xb10c, offset: offset, length: length)
        return try chunks(request, payload).map {
            (Int($0.number(at: 0, as: UInt32.self)) - 1, extents(in: $0))
        }
    }

    private func extents(in chunk: Chunk) -> [Extent] {
        let isWide = format == .extended
        #expect(chunk.header.type == (isWide ? .blockStatusExtended : .blockStatus))
        var reader = ByteReader(chunk.content)
        _ = reader.bytes(Extent.prefixSize(format))
        #expect(reader.remaining > 0 && reader.remaining % Extent.encodedSize(format) == 0)
        var extents: [Extent] = []
        while reader.remaining > 0 {
            let length = isWide ? reader.number() ?? 0 : UInt64(reader.number() ?? UInt32(0))
            // The upper half of the flags is zero in every context.
            if isWide, reader.number(as: UInt32.self) != 0 { Issue.record("64-bit flags") }
            extents.append(Extent(length: length, flags: reader.number() ?? .max))
        }
        if isWide { #expect(chunk.number(at: 4, as: UInt32.self) == UInt32(extents.count)) }
        return extents
    }
}
