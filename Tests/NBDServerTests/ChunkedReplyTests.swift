import NBDProtocol
import NBDServer
import Testing

/// What both have in common is tested with both.
private let chunked: [HeaderFormat] = [.structured, .extended]

@Suite("Replies in chunks")
struct ChunkedReplyTests {
    @Test("what was written is read back, at any offset and length", arguments: chunked)
    func readsBack(format: HeaderFormat) throws {
        let server = try makeServer(size: 2 << 20)
        let client = try TestClient(to: server, format)
        for (offset, count) in [(0, 1), (1, 511), (4095, 2), (8191, 70_000)] as [(UInt64, Int)] {
            try client.done(
                Request(.write, cookie: 7, offset: offset, length: UInt64(count)), pattern(count))
            let (bytes, types) = try client.readChunks(at: offset, count: count)
            #expect(bytes == pattern(count))
            #expect(types == [.offsetData])
        }
    }

    @Test("empty ranges travel as holes, and leave no memory behind", arguments: chunked)
    func holes(format: HeaderFormat) throws {
        let disk = try RamDisk(size: 1 << 20, isSparse: true)
        let client = try TestClient(to: try makeServer(disk), format)
        #expect(try client.readChunks(at: 5, count: 1_000_000).types == [.offsetHole])
        #expect(disk.residentBytes == 0)
        try client.done(Request(.write, cookie: 1, offset: 8192, length: 4096), pattern(4096))
        let (bytes, types) = try client.readChunks(at: 100, count: 20_000)
        #expect(types == [.offsetHole, .offsetData, .offsetHole])
        #expect(Array(bytes[8092..<12188]) == pattern(4096))
        #expect(bytes[..<8092].allSatisfy { $0 == 0 } && bytes[12188...].allSatisfy { $0 == 0 })
        #expect(disk.residentBytes == 4096)
    }

    @Test("a read and a trim of one page that come together leave no memory behind")
    func readBeforeTrim() throws {
        let disk = try RamDisk(size: 1 << 20, isSparse: true)
        let client = try TestClient(to: try makeServer(disk), .structured)
        try client.done(Request(.write, cookie: 1, offset: 8192, length: 4096), pattern(4096))
        try client.send(
            Request(.read, cookie: 2, offset: 8192, length: 4096).encoded
                + Request(.trim, cookie: 3, offset: 8192, length: 4096).encoded)
        #expect(try client.chunk().content.dropFirst(8).elementsEqual(pattern(4096)))
        #expect(try client.reply() == SimpleReply(cookie: 3))
        #expect(disk.residentBytes == 0)
    }

    @Test("with DF there is one chunk, zeroes and all", arguments: chunked, [false, true])
    func dontFragment(format: HeaderFormat, isSparse: Bool) throws {
        let client = try TestClient(to: try makeServer(size: 8 << 20, isSparse: isSparse), format)
        try client.done(Request(.write, cookie: 1, offset: 8192, length: 4096), pattern(4096))
        let (bytes, types) = try client.readChunks(at: 0, count: 8 << 20, flags: .dontFragment)
        #expect(types == [.offsetData])
        #expect(Array(bytes[8192..<12288]) == pattern(4096))
    }

    @Test("a read of thousands of extents comes in thousands of chunks", arguments: chunked)
    func manyExtents(format: HeaderFormat) throws {
        let server = try makeServer(size: 16 << 20, isSparse: true)
        let client = try TestClient(to: server, format)
        let mark = pattern(100)
        for page in stride(from: 0, to: 4096, by: 2) {
            try client.done(
                Request(.write, cookie: 1, offset: UInt64(page) * 4096, length: 100), mark)
        }
        let (bytes, types) = try client.readChunks(at: 0, count: 16 << 20)
        #expect(types.count == 4096)
        for page in stride(from: 0, to: 4096, by: 2) {
            let start = page * 4096
            #expect(bytes[start..<start + 100].elementsEqual(mark))
        }
    }

    @Test("the bytes of each reply, field by field")
    func table() throws {
        let server = try makeServer(size: 1 << 20)
        let client = try TestClient(to: server, .structured)
        // A cookie is kept as it lies in memory.
        let cookie = UInt64(bigEndian: 0x0102_0304_0506_0708)
        let mark: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        try client.send(Request(.write, cookie: cookie, offset: 16, length: 2), [0xaa, 0xbb])
        #expect(try client.receive(16) == [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0] + mark)
        try client.send(Request(.read, cookie: cookie, offset: 16, length: 2))
        #expect(
            try client.receive(30)
                == [0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 1] + mark + [0, 0, 0, 10]
                + [0, 0, 0, 0, 0, 0, 0, 16] + [0xaa, 0xbb])
        try client.send(Request(.read, cookie: cookie, offset: 4096, length: 512))
        #expect(
            try client.receive(32)
                == [0x66, 0x8e, 0x33, 0xef, 0, 1, 0, 2] + mark + [0, 0, 0, 12]
                + [0, 0, 0, 0, 0, 0, 16, 0] + [0, 0, 2, 0])
    }

    @Test("the bytes of extended replies, field by field")
    func extendedTable() throws {
        let client = try TestClient(to: try makeServer(size: 1 << 20), .extended)
        let cookie = UInt64(bigEndian: 0x0102_0304_0506_0708)
        let mark: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        let magic: [UInt8] = [0x6e, 0x8a, 0x27, 0x8c]
        let offset: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 16]
        let write = Request(.write, flags: .payloadLength, cookie: cookie, offset: 16, length: 2)
        try client.send(write, [0xaa, 0xbb])
        #expect(
            try client.receive(32)
                == magic + [0, 1, 0, 0] + mark + offset + [UInt8](repeating: 0, count: 8))
        try client.send(Request(.read, cookie: cookie, offset: 16, length: 2))
        #expect(
            try client.receive(42)
                == magic + [0, 1, 0, 1] + mark + offset + [0, 0, 0, 0, 0, 0, 0, 10] + offset
                + [0xaa, 0xbb])
    }

    @Test("errors say why, and where if the end of the export is it", arguments: chunked)
    func errors(format: HeaderFormat) throws {
        let client = try TestClient(to: try makeServer(size: 1 << 20), format)
        let beyond = "the range goes beyond the end of the export"
        #expect(
            try client.error(Request(.read, cookie: 1, offset: 1 << 20 - 512, length: 1024))
                == ChunkError(error: .invalid, message: beyond, offset: 1 << 20))
        #expect(
            try client.error(Request(.read, cookie: 2, offset: 1 << 40, length: 1))
                == ChunkError(error: .invalid, message: beyond, offset: 1 << 40))
        #expect(
            try client.error(Request(.write, cookie: 3, offset: 1 << 20, length: 5), pattern(5))
                == ChunkError(error: .noSpace, message: beyond, offset: 1 << 20))
        #expect(
            try client.error(Request(.read, cookie: 4, offset: 0, length: 0))
                == ChunkError(error: .invalid, message: "the length is zero"))
        #expect(
            try client.error(Request(Command(rawValue: 99), cookie: 5))
                == ChunkError(error: .invalid, message: "there is no such command"))
        #expect(try client.error(Request(.blockStatus, offset: 0, length: 512)).error == .invalid)
        try client.done(Request(.flush, cookie: 6))
    }

    @Test(
        "an error about a range that reaches 2^64 has no offset, which old clients cannot check",
        arguments: chunked)
    func errorsWithoutOffset(format: HeaderFormat) throws {
        let client = try TestClient(to: try makeServer(size: 1 << 20), format)
        let beyond = "the range goes beyond the end of the export"
        for length in [512, 1024] as [UInt64] {
            for command in [.read, .trim] as [Command] {
                let request = Request(command, cookie: 1, offset: .max - 511, length: length)
                #expect(
                    try client.error(request) == ChunkError(error: .invalid, message: beyond))
            }
            let write = Request(.write, cookie: 2, offset: .max - 511, length: length)
            #expect(
                try client.error(write, pattern(Int(length)))
                    == ChunkError(error: .noSpace, message: beyond))
        }
        #expect(
            try client.error(Request(.read, cookie: 3, offset: .max - 511, length: 511))
                == ChunkError(error: .invalid, message: beyond, offset: .max - 511))
        try client.done(Request(.flush, cookie: 4))
    }

    @Test("messages in pieces of any length give the same replies", arguments: chunked, [1, 7, 33])
    func pieces(format: HeaderFormat, count: Int) throws {
        let client = try TestClient(to: try makeServer(), format)
        try client.send(
            Request(.write, cookie: 1, offset: 10, length: 600).encoded(format) + pattern(600)
                + Request(.trim, cookie: 2, offset: 9_000, length: 600).encoded(format),
            pieces: count)
        if format == .extended {
            #expect(try client.chunk().header.cookie == 1)
            #expect(try client.chunk().header.cookie == 2)
        } else {
            #expect(try client.reply() == SimpleReply(cookie: 1))
            #expect(try client.reply() == SimpleReply(cookie: 2))
        }
        #expect(try client.readChunks(at: 10, count: 600).bytes == pattern(600))
    }

    @Test("256 requests at once are all answered", arguments: chunked)
    func queueDepth(format: HeaderFormat) throws {
        let client = try TestClient(to: try makeServer(size: 4 << 20), format)
        for page in 0..<256 as Range<UInt64> {
            try client.done(
                Request(.write, cookie: page, offset: page * 4096, length: 4096),
                pattern(4096, seed: page))
        }
        let requests = (0..<256).map { page in
            Request(.read, cookie: page, offset: page * 4096, length: 4096).encoded(format)
        }
        try client.send(Array(requests.joined()))
        for page in 0..<256 as Range<UInt64> {
            let chunk = try client.chunk()
            #expect(chunk.header.cookie == page)
            #expect(Array(chunk.content.dropFirst(8)) == pattern(4096, seed: page))
        }
    }

    // MARK: - Extended headers

    @Test("a trim, and zeroes, of a whole terabyte are one request")
    func terabyte() throws {
        let disk = try RamDisk(size: 1 << 40, isSparse: true)
        let client = try TestClient(to: try makeServer(disk), .extended, wantsContext: true)
        try client.done(Request(.write, cookie: 1, offset: 1 << 39, length: 4096), pattern(4096))
        #expect(
            try client.extents(at: 0, count: 1 << 40) == [
                Extent(length: 1 << 39, status: .empty), Extent(length: 4096, status: .data),
                Extent(length: 1 << 39 - 4096, status: .empty),
            ])
        try client.done(Request(.trim, cookie: 2, offset: 0, length: 1 << 40))
        #expect(disk.residentBytes == 0)
        #expect(
            try client.extents(at: 0, count: 1 << 40) == [Extent(length: 1 << 40, status: .empty)])
        try client.done(Request(.writeZeroes, cookie: 3, offset: 0, length: 1 << 40))
        try client.done(Request(.cache, cookie: 4, offset: 0, length: 1 << 40))
    }

    @Test("zeroes that are to keep more space than the machine has: ENOSPC, and nothing is taken")
    func noMemory() throws {
        let disk = try RamDisk(size: 1 << 40, isSparse: true)
        let client = try TestClient(to: try makeServer(disk), .extended)
        let request = Request(
            .writeZeroes, flags: .noHole, cookie: 1, offset: 4096, length: 1 << 40 - 4096)
        #expect(try client.error(request).error == .noSpace)
        #expect(disk.residentBytes == 0)
        try client.done(Request(.write, cookie: 2, offset: 0, length: 4096), pattern(4096))
    }

    @Test("a WRITE may say that it has a payload, or leave it out")
    func payloadFlag() throws {
        let client = try TestClient(to: try makeServer(), .extended)
        for flags in [.payloadLength, []] as [CommandFlags] {
            try client.done(
                Request(.write, flags: flags, cookie: 1, offset: 512, length: 700), pattern(700))
            #expect(try client.readChunks(at: 512, count: 700).bytes == pattern(700))
        }
    }

    @Test(
        "a payload where none belongs is read away and refused",
        arguments: [.read, .trim, .flush, .blockStatus, Command(rawValue: 99)] as [Command])
    func payload(command: Command) throws {
        let client = try TestClient(to: try makeServer(), .extended)
        let request = Request(command, flags: .payloadLength, cookie: 3, offset: 0, length: 3000)
        #expect(try client.error(request, pattern(3000)).error == .invalid)
        let empty = Request(command, flags: .payloadLength, cookie: 4, offset: 0, length: 0)
        #expect(try client.error(empty).error == .invalid)
        try client.done(Request(.flush, cookie: 5))
    }

    @Test(
        "a payload over the maximum ends the connection",
        arguments: [.read, .write, .blockStatus] as [Command], [64 << 20 + 1, .max] as [UInt64])
    func enormousPayload(command: Command, length: UInt64) throws {
        let client = try TestClient(to: try makeServer(), .extended)
        try client.send(Request(command, flags: .payloadLength, cookie: 3, length: length))
        #expect(try client.isClosed())
    }

    @Test("disconnect has no reply, whatever flags it has")
    func disconnect() throws {
        let client = try TestClient(to: try makeServer(), .extended)
        try client.send(Request(.disconnect, flags: .payloadLength, length: 99))
        #expect(try client.isClosed())
    }
}
