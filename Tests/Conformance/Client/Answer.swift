internal import NBDProtocol

/// One reply chunk.
struct Chunk: Hashable {
    /// The reply flags.
    var flags: UInt16
    var type: UInt16
    /// The payload.
    var payload: [UInt8]

    var isDone: Bool { flags & 1 == 1 }
    var isError: Bool { type >> 15 == 1 }
    var isContent: Bool { type == ChunkType.offsetData || type == ChunkType.offsetHole }

    /// The error in an error chunk.
    var errorValue: UInt32? {
        var reader = ByteReader(payload)
        return isError ? reader.number(as: UInt32.self) : nil
    }

    /// The offset of a content chunk's bytes.
    var offset: UInt64? {
        var reader = ByteReader(payload)
        return isContent ? reader.number(as: UInt64.self) : nil
    }

    /// Returns the bytes of the export that a content chunk describes.
    func content() throws -> [UInt8] {
        guard type == ChunkType.offsetHole else { return Array(payload.dropFirst(8)) }
        var reader = ByteReader(Array(payload.dropFirst(8)))
        guard let size = reader.number(as: UInt32.self), reader.remaining == 0 else {
            throw Deviation("OFFSET_HOLE has \(payload.count) bytes instead of 12")
        }
        return [UInt8](repeating: 0, count: Int(size))
    }
}

/// The complete reply to one request.
struct Answer {
    var request: Request
    /// Whether the reply is a simple one.
    var isSimple: Bool
    /// The error of a simple reply.
    var simpleError: UInt32 = 0
    /// The data of a simple reply.
    var simpleData: [UInt8] = []
    /// The chunks of a structured or extended reply.
    var chunks: [Chunk] = []

    /// The error of the whole reply; 0 for none.
    var error: UInt32 {
        isSimple ? simpleError : chunks.lazy.compactMap(\.errorValue).first ?? 0
    }

    /// Returns the bytes of a READ. Throws unless each byte was returned exactly once.
    func content() throws -> [UInt8] {
        try expect(error == 0, "the read fails with \(error)")
        if isSimple { return simpleData }
        var bytes = [UInt8](repeating: 0, count: Int(request.length))
        var ranges: [Range<Int>] = []
        for chunk in chunks where chunk.isContent {
            let part = try chunk.content()
            try expect(!part.isEmpty, "a content chunk is empty")
            guard let offset = chunk.offset, offset >= request.offset,
                offset - request.offset <= request.length,
                UInt64(part.count) <= request.length - (offset - request.offset)
            else { throw Deviation("a content chunk is outside the range of the request") }
            let start = Int(offset - request.offset)
            bytes.replaceSubrange(start..<start + part.count, with: part)
            ranges.append(start..<start + part.count)
        }
        var end = 0
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            try expect(range.lowerBound >= end, "content chunks overlap")
            try expect(
                range.lowerBound == end, "the content chunks do not cover the range of the request")
            end = range.upperBound
        }
        try expect(end == bytes.count, "the content chunks do not cover the range of the request")
        return bytes
    }

    /// Returns the extents of each context, by its identifier.
    func extents() throws -> [UInt32: [Extent]] {
        try expect(error == 0, "BLOCK_STATUS fails with \(error)")
        var result: [UInt32: [Extent]] = [:]
        for chunk in chunks {
            guard let status = try Extent.status(chunk) else { continue }
            try expect(
                result.updateValue(status.extents, forKey: status.context) == nil,
                "there are two chunks for context \(status.context)")
        }
        return result
    }
}

/// Consecutive bytes with the same status.
struct Extent: Hashable {
    var length: UInt64
    var flags: UInt64

    var isHole: Bool { flags & 1 == 1 }
    var isZero: Bool { flags & 2 == 2 }

    /// Returns the context and extents of a BLOCK_STATUS or BLOCK_STATUS_EXT chunk, and nil for other chunks.
    static func status(_ chunk: Chunk) throws -> (context: UInt32, extents: [Extent])? {
        let isExtended = chunk.type == ChunkType.blockStatusExtended
        guard isExtended || chunk.type == ChunkType.blockStatus else { return nil }
        let head = isExtended ? 8 : 4
        let size = isExtended ? 16 : 8
        var reader = ByteReader(chunk.payload)
        guard chunk.payload.count > head, (chunk.payload.count - head).isMultiple(of: size),
            let context = reader.number(as: UInt32.self)
        else { throw Deviation("a status chunk has \(chunk.payload.count) bytes") }
        let count = (chunk.payload.count - head) / size
        if isExtended {
            let claimed = reader.number(as: UInt32.self) ?? 0
            try expect(claimed == count, "\(claimed) descriptors are announced, \(count) sent")
        }
        var extents: [Extent] = []
        for _ in 0..<count {
            if isExtended {
                extents.append(
                    Extent(
                        length: reader.number(as: UInt64.self) ?? 0,
                        flags: reader.number(as: UInt64.self) ?? 0))
            } else {
                extents.append(
                    Extent(
                        length: UInt64(reader.number(as: UInt32.self) ?? 0),
                        flags: UInt64(reader.number(as: UInt32.self) ?? 0)))
            }
        }
        try expect(!extents.contains { $0.length == 0 }, "an extent has the length 0")
        return (context, extents)
    }
}
