import NBDProtocol
import NBDServer
import Testing

@Suite("Block status")
struct BlockStatusTests {
    static let formats: [HeaderFormat] = [.structured, .extended]

    @Test(
        "an empty disk is one hole; data and trims show to the page", arguments: formats,
        [false, true])
    func exact(format: HeaderFormat, isSparse: Bool) throws {
        let server = try makeServer(size: 1 << 20, isSparse: isSparse)
        let client = try TestClient(to: server, format, wantsContext: true)
        #expect(
            try client.extents(at: 0, count: 1 << 20) == [Extent(length: 1 << 20, status: .empty)])
        // Three pages are touched, the first and the last in part.
        try client.done(Request(.write, cookie: 1, offset: 8191, length: 4098), pattern(4098))
        #expect(
            try client.extents(at: 0, count: 1 << 20) == [
                Extent(length: 4096, status: .empty), Extent(length: 12288, status: .data),
                Extent(length: 1 << 20 - 16384, status: .empty),
            ])
        // A trim frees the pages that lie whole inside it: of these three the one in the middle.
        try client.done(Request(.trim, cookie: 2, offset: 4097, length: 8192))
        #expect(
            try client.extents(at: 4096, count: 12288) == [
                Extent(length: 4096, status: .data), Extent(length: 4096, status: .empty),
                Extent(length: 4096, status: .data),
            ])
    }

    @Test("ranges that begin and end anywhere are reported to the byte", arguments: formats)
    func unaligned(format: HeaderFormat) throws {
        let server = try makeServer(size: 10_000)
        let client = try TestClient(to: server, format, wantsContext: true)
        try client.done(Request(.write, cookie: 1, offset: 4096, length: 1), [1])
        #expect(
            try client.extents(at: 1, count: 9_999) == [
                Extent(length: 4095, status: .empty), Extent(length: 4096, status: .data),
                Extent(length: 1808, status: .empty),
            ])
        #expect(try client.extents(at: 9_999, count: 1) == [Extent(length: 1, status: .empty)])
    }

    @Test("REQ_ONE: one extent, not past the request", arguments: formats)
    func requestOne(format: HeaderFormat) throws {
        let client = try TestClient(to: try makeServer(), format, wantsContext: true)
        try client.done(Request(.write, cookie: 1, offset: 8192, length: 4096), pattern(4096))
        #expect(
            try client.extents(at: 0, count: 1 << 20, flags: .requestOne)
                == [Extent(length: 8192, status: .empty)])
        #expect(
            try client.extents(at: 100, count: 50, flags: .requestOne)
                == [Extent(length: 50, status: .empty)])
    }

    @Test("zeroes that keep their space are no hole", arguments: [false, true])
    func noHole(isSparse: Bool) throws {
        let server = try makeServer(isSparse: isSparse)
        let client = try TestClient(to: server, .structured, wantsContext: true)
        try client.done(
            Request(.writeZeroes, flags: .noHole, cookie: 1, offset: 0, length: 8192))
        try client.done(Request(.writeZeroes, cookie: 2, offset: 8192, length: 8192))
        #expect(
            try client.extents(at: 0, count: 16384) == [
                Extent(length: 8192, status: .data), Extent(length: 8192, status: .empty),
            ])
    }

    @Test(
        "more extents than fit into a reply: the first of them, as many as fit",
        arguments: formats)
    func truncated(format: HeaderFormat) throws {
        let size: UInt64 = 512 << 20
        let server = try makeServer(size: size, isSparse: true)
        let client = try TestClient(to: server, format, contexts: Self.both)
        let replySize = format == .extended ? format.chunkHeaderSize : SimpleReply.encodedSize
        for first in stride(from: 1, to: 80_000, by: 400) {
            let pages = stride(from: first, to: first + 400, by: 2)
            let requests = pages.map { page in
                Request(.write, offset: UInt64(page) * 4096, length: 1).encoded(format) + [1]
            }
            try client.send(Array(requests.joined()))
            _ = try client.receive(requests.count * replySize)
        }
        for (context, flags) in [(0, [3, 0]), (1, [0, 1])] as [(Int, [UInt32])] {
            var offset: UInt64 = 0
            var all: [Extent] = []
            while offset < size {
                let chunks = try client.statusChunks(at: offset, count: size - offset)
                let extents = chunks[context].extents
                #expect(offset > 0 || (32_000...70_000).contains(extents.count))
                all += extents
                offset += extents.map(\.length).reduce(0, +)
            }
            #expect(offset == size)
            #expect(all.count == 80_001)
            let areRight = all.dropLast().enumerated().allSatisfy { index, extent in
                extent == Extent(length: 4096, flags: flags[index % 2])
            }
            #expect(areRight)
        }
    }

    @Test("several in one batch do not disturb each other", arguments: formats)
    func batch(format: HeaderFormat) throws {
        let client = try TestClient(to: try makeServer(), format, wantsContext: true)
        let request = Request(.blockStatus, cookie: 1, offset: 0, length: 1 << 20)
        let read = Request(.read, cookie: 2, offset: 0, length: 4096)
        try client.done(Request(.write, cookie: 1, offset: 0, length: 4096), pattern(4096))
        for _ in 0..<100 {
            try client.send(request.encoded(format) + read.encoded(format))
        }
        for _ in 0..<100 {
            let status = try client.chunk()
            #expect(status.header.cookie == 1)
            #expect(status.content.count == (format == .extended ? 8 + 32 : 4 + 16))
            let data = try client.chunk()
            #expect(data.header.cookie == 2)
            #expect(Array(data.content.dropFirst(8)) == pattern(4096))
        }
    }

    @Test("without a context, or beyond the end: EINVAL", arguments: formats)
    func refused(format: HeaderFormat) throws {
        let server = try makeServer()
        let without = try TestClient(to: server, format)
        #expect(
            try without.error(Request(.blockStatus, cookie: 1, offset: 0, length: 512)).error
                == .invalid)
        let client = try TestClient(to: server, format, wantsContext: true)
        #expect(
            try client.error(Request(.blockStatus, cookie: 1, offset: 512, length: 1 << 20)).error
                == .invalid)
        #expect(
            try client.error(Request(.blockStatus, cookie: 1, offset: 0, length: 0)).error
                == .invalid)
    }

    // MARK: - The payload form

    @Test("a payload chooses the context, and says how much to tell of")
    func selection() throws {
        let client = try TestClient(to: try makeServer(), .extended, wantsContext: true)
        try client.done(Request(.write, cookie: 1, offset: 4096, length: 4096), pattern(4096))
        var payload: [UInt8] = []
        payload.append(bigEndian: UInt64(8192))
        payload.append(bigEndian: MetadataContext.identifier(at: 0))
        #expect(
            try client.extents(at: 0, count: 0, flags: .payloadLength, payload: payload) == [
                Extent(length: 4096, status: .empty), Extent(length: 4096, status: .data),
            ])
        #expect(
            try client.extents(
                at: 0, count: 0, flags: [.payloadLength, .requestOne], payload: payload)
                == [Extent(length: 4096, status: .empty)])
    }

    @Test(
        "a payload that names another context, one twice, none, or is cut short: EINVAL",
        arguments: [
            [0, 0, 0, 2], [0, 0, 0, 1, 0, 0, 0, 1], [], [0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 2],
        ] as [[UInt8]])
    func badSelection(identifiers: [UInt8]) throws {
        let client = try TestClient(to: try makeServer(), .extended, wantsContext: true)
        var payload: [UInt8] = []
        payload.append(bigEndian: UInt64(8192))
        payload += identifiers
        let request = Request(
            .blockStatus, flags: .payloadLength, cookie: 1, length: UInt64(payload.count))
        #expect(try client.error(request, payload).error == .invalid)
        try client.done(Request(.flush, cookie: 2))
    }

    @Test("what the payload asks for is checked like any other range")
    func selectionBeyondEnd() throws {
        let client = try TestClient(to: try makeServer(), .extended, wantsContext: true)
        for length in [0, 1 << 20 + 1, UInt64.max] as [UInt64] {
            var payload: [UInt8] = []
            payload.append(bigEndian: length)
            payload.append(bigEndian: MetadataContext.identifier(at: 0))
            let request = Request(.blockStatus, flags: .payloadLength, cookie: 1, length: 12)
            #expect(try client.error(request, payload).error == .invalid)
        }
    }

    // MARK: - Several contexts

    private static let both = ["base:allocation", "qemu:allocation-depth"]

    @Test("a RAM disk's depth is 1 where there may be data, and 0 elsewhere", arguments: formats)
    func depth(format: HeaderFormat) throws {
        let client = try TestClient(to: try makeServer(), format, contexts: Self.both)
        try client.done(Request(.write, cookie: 1, offset: 8191, length: 4098), pattern(4098))
        let chunks = try client.statusChunks(at: 1, count: 1 << 20 - 1)
        #expect(chunks.map(\.context) == [0, 1])
        let lengths: [UInt64] = [4095, 12288, 1 << 20 - 16384]
        #expect(
            chunks[0].extents == zip(lengths, [3, 0, 3]).map { Extent(length: $0, flags: $1) })
        #expect(
            chunks[1].extents == zip(lengths, [0, 1, 0]).map { Extent(length: $0, flags: $1) })
        let one = try client.statusChunks(at: 4096, count: 8192, flags: .requestOne)
        #expect(one.map(\.extents) == [0, 1].map { [Extent(length: 8192, flags: $0)] })
    }

    @Test("a clone's depth is 2 where it shows its template", arguments: formats)
    func depthOfClone(format: HeaderFormat) throws {
        let origin = try RamDisk(size: 1 << 20)
        try origin.write(pattern(16_384).span, at: 8192)
        let template = try DiskTemplate.copying(try origin.makeSnapshot())
        let server = try makeServer(try RamDisk(cloning: template))
        let client = try TestClient(to: server, format, contexts: Self.both)
        try client.done(Request(.write, cookie: 1, offset: 4096, length: 8192), pattern(8192))
        try client.done(Request(.trim, cookie: 2, offset: 16_384, length: 4096))
        let chunks = try client.statusChunks(at: 0, count: 32_768)
        #expect(
            chunks[0].extents
                == [(4096, 3), (12_288, 0), (4096, 3), (4096, 0), (8192, 3)].map {
                    Extent(length: $0, flags: $1)
                })
        #expect(
            chunks[1].extents
                == [(4096, 0), (8192, 1), (4096, 2), (4096, 0), (4096, 2), (8192, 0)].map {
                    Extent(length: $0, flags: $1)
                })
    }

    @Test("a snapshot of a clone has the depths of its instant", arguments: formats)
    func depthOfSnapshot(format: HeaderFormat) throws {
        let origin = try RamDisk(size: 1 << 20)
        try origin.write(pattern(32_768).span, at: 0)
        let clone = try RamDisk(cloning: try DiskTemplate.copying(try origin.makeSnapshot()))
        try clone.write(pattern(4096).span, at: 0)
        try clone.discard(4096..<8192)
        let snapshot = try clone.makeSnapshot()
        let expected = [(4096, 1), (4096, 0), (24_576, 2), (4096, 0)].map {
            Extent(length: $0, flags: $1)
        }
        let server = try Server(exports: [Export(name: "disk", store: snapshot, isReadOnly: true)])
        try server.start()
        let client = try TestClient(to: server, format, contexts: Self.both)
        #expect(try client.statusChunks(at: 0, count: 36_864)[1].extents == expected)
        try clone.discard(0..<4096)
        try clone.write(pattern(8192).span, at: 4096)
        try clone.discard(12_288..<16_384)
        try clone.zero(16_384..<20_480, options: .keepsSpace)
        // Pages keep their versions when a later snapshot is deleted.
        try withExtendedLifetime(clone.makeSnapshot()) {
            try clone.write(pattern(12_288).span, at: 8192)
        }
        #expect(try client.statusChunks(at: 0, count: 36_864)[1].extents == expected)
    }

    @Test("a context alone has one chunk, with its own identifier", arguments: formats)
    func depthAlone(format: HeaderFormat) throws {
        let client = try TestClient(
            to: try makeServer(), format, contexts: ["qemu:allocation-depth"])
        let chunks = try client.statusChunks(at: 0, count: 1 << 20)
        #expect(chunks.map(\.context) == [1])
        #expect(chunks[0].extents == [Extent(length: 1 << 20, flags: 0)])
    }

    @Test(
        "a payload selects some of the contexts for one request",
        arguments: [([1], [0]), ([2], [1]), ([2, 1], [0, 1])] as [([UInt32], [Int])])
    func selectionOfSeveral(identifiers: [UInt32], contexts: [Int]) throws {
        let client = try TestClient(to: try makeServer(), .extended, contexts: Self.both)
        var payload: [UInt8] = []
        payload.append(bigEndian: UInt64(8192))
        for identifier in identifiers { payload.append(bigEndian: identifier) }
        let chunks = try client.statusChunks(
            at: 0, count: 0, flags: .payloadLength, payload: payload)
        #expect(chunks.map(\.context) == contexts)
        #expect(chunks.map { $0.extents.map(\.length) } == contexts.map { _ in [8192] })
        // Only for that request.
        #expect(try client.statusChunks(at: 0, count: 4096).map(\.context) == [0, 1])
    }

    @Test(
        "of several contexts, each gets a part of the reply's memory, and none runs out",
        arguments: formats)
    func severalTruncated(format: HeaderFormat) throws {
        let store = Stripes(names: ["x-a:1", "x-a:2", "x-a:3", "x-a:4", "x-a:5", "x-a:6", "x-a:7"])
        let server = try Server(exports: [Export(store: store)])
        try server.start()
        let names = ["base:allocation"] + store.contexts.map(\.name)
        let client = try TestClient(to: server, format, contexts: names)
        for _ in 0..<3 {
            let chunks = try client.statusChunks(at: 0, count: store.size)
            #expect(chunks.map(\.context) == Array(0..<8))
            for (index, extents) in chunks.dropFirst() {
                #expect((8_000...20_000).contains(extents.count))
                let areRight = extents.enumerated().allSatisfy { place, extent in
                    extent == Extent(length: 4096, flags: UInt32(index * 2 + place % 2))
                }
                #expect(areRight)
            }
        }
    }

    @Test("a context that the store cannot report ends the reply with an error", arguments: formats)
    func failing(format: HeaderFormat) throws {
        let server = try Server(exports: [Export(store: Stripes(names: ["x-a:1", "x-bad:1"]))])
        try server.start()
        let client = try TestClient(to: server, format, contexts: ["x-a:1", "x-bad:1"])
        let chunks = try client.chunks(Request(.blockStatus, cookie: 3, length: 8192))
        #expect(chunks.map(\.header.type.isError) == [false, true])
        #expect(chunks[1].number(at: 0, as: UInt32.self) == WireError.inputOutput.rawValue)
        // The next request is served.
        #expect(try client.chunks(Request(.blockStatus, cookie: 4, length: 8192)).count == 2)
    }

    @Test(
        "an export offers up to eight contexts, each with a valid name of its own",
        arguments: [
            [], ["x-a:1", "x-a:1"], ["base:allocation"], ["x-a:"], ["none"],
            (1...8).map { "x-a:\($0)" },
        ] as [[String]])
    func offers(names: [String]) throws {
        let export = Export(store: Stripes(names: names))
        if names.isEmpty {
            _ = try Server(exports: [export])
        } else {
            #expect(throws: ServerError.self) { try Server(exports: [export]) }
        }
    }
}

/// A store whose every page has other flags than the next, in each of its contexts. It fails in `x-bad:`.
private struct Stripes: BlockStore {
    let size: UInt64 = 1 << 30
    let contexts: [MetadataContext]

    init(names: [String]) { contexts = names.map { MetadataContext(name: $0) } }

    func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) {
        for index in buffer.indices { buffer[index] = 0 }
    }

    func write(_ bytes: Span<UInt8>, at offset: UInt64) {}

    func firstExtent(
        of range: Range<UInt64>, in context: MetadataContext
    ) throws(BlockStoreError) -> Extent {
        guard !context.name.hasPrefix("x-bad:") else { throw .inputOutput() }
        let index = (contexts.firstIndex(of: context) ?? 0) + 1
        let page = range.lowerBound / 4096
        let end = min(range.upperBound, (page + 1) * 4096)
        return Extent(
            length: end - range.lowerBound, flags: UInt32(index * 2) + UInt32(page % 2))
    }
}
