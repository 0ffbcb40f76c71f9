// What BLOCK_STATUS tells of a disk, to the page.

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

    @Test("ranges that begin and end anywhere are told of to the byte", arguments: formats)
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
        "more extents than fit into an answer: the first of them, as many as fit",
        arguments: formats)
    func truncated(format: HeaderFormat) throws {
        let server = try makeServer(size: 128 << 20, isSparse: true)
        let client = try TestClient(to: server, format, wantsContext: true)
        let replySize = format == .extended ? format.chunkHeaderSize : SimpleReply.encodedSize
        for first in stride(from: 1, to: 20_000, by: 400) {
            let pages = stride(from: first, to: first + 400, by: 2)
            let requests = pages.map { page in
                Request(.write, offset: UInt64(page) * 4096, length: 1).encoded(format) + [1]
            }
            try client.send(Array(requests.joined()))
            _ = try client.receive(requests.count * replySize)
        }
        var offset: UInt64 = 0
        var all: [Extent] = []
        while offset < 128 << 20 {
            let extents = try client.extents(at: offset, count: 128 << 20 - offset)
            #expect(extents.count > 100)
            all += extents
            offset += extents.map(\.length).reduce(0, +)
        }
        #expect(offset == 128 << 20)
        #expect(all.count == 20_001)
        #expect(all.dropLast().allSatisfy { $0.length == 4096 })
        for (index, extent) in all.enumerated() {
            #expect(extent.status == (index % 2 == 1 ? .data : .empty))
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
        payload.append(bigEndian: MetadataContext.allocationIdentifier)
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
            payload.append(bigEndian: MetadataContext.allocationIdentifier)
            let request = Request(.blockStatus, flags: .payloadLength, cookie: 1, length: 12)
            #expect(try client.error(request, payload).error == .invalid)
        }
    }
}
