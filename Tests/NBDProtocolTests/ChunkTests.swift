import Testing

@testable import NBDProtocol

@Suite("Chunks and extended requests")
struct ChunkTests {
    let request = Request(
        .blockStatus, flags: .requestOne, cookie: UInt64(bigEndian: 0x0102_0304_0506_0708),
        offset: 0x1122_3344_5566_7788, length: 0x99aa_bbcc_ddee_ff00)

    @Test("an extended request has 64 bits for its length")
    func extendedRequest() {
        let table = bytes(
            "21e41c71", "0008", "0007", "0102030405060708", "1122334455667788",
            "99aabbccddeeff00")
        #expect(encoded(request, as: .extended) == table)
        #expect(Request(decoding: unsafe table.span.bytes, as: .extended) == request)
        for format in [.simple, .structured] as [HeaderFormat] {
            #expect(Request(decoding: unsafe table.span.bytes, as: format) == nil)
        }
        #expect(
            Request(decoding: unsafe table.span.bytes.extracting(first: 31), as: .extended) == nil)
        let compact = encoded(Request(.read), as: .simple)
        #expect(Request(decoding: unsafe compact.span.bytes, as: .extended) == nil)
    }

    @Test("a structured chunk's header")
    func structured() {
        let chunk = ReplyChunk(.offsetData, isLast: true, answering: request, length: 0x11223344)
        let table = bytes("668e33ef", "0001", "0001", "0102030405060708", "11223344")
        #expect(encoded(chunk, as: .structured) == table)
        let decoded = ReplyChunk(decoding: unsafe table.span.bytes, as: .structured)
        #expect(decoded?.cookie == chunk.cookie)
        #expect(decoded?.length == chunk.length)
        #expect(decoded?.isLast == true)
        #expect(decoded?.type == .offsetData)
        #expect(ReplyChunk(decoding: unsafe table.span.bytes, as: .extended) == nil)
    }

    @Test("an extended chunk's header echoes the request's offset")
    func extended() {
        let chunk = ReplyChunk(.errorOffset, isLast: false, answering: request, length: 22)
        let table = bytes(
            "6e8a278c", "0000", "8002", "0102030405060708", "1122334455667788",
            "0000000000000016")
        #expect(encoded(chunk, as: .extended) == table)
        #expect(ReplyChunk(decoding: unsafe table.span.bytes, as: .extended) == chunk)
    }

    @Test("an extent in 8 bytes, and in 16")
    func extents() {
        let extent = Extent(length: 0x1122_3344, status: .empty)
        #expect(encoded(extent, as: .structured) == bytes("11223344", "00000003"))
        #expect(
            encoded(extent, as: .extended) == bytes("0000000011223344", "0000000000000003"))
        let depth = Extent(length: 1, flags: 0x8000_0001)
        #expect(encoded(depth, as: .structured) == bytes("00000001", "80000001"))
        #expect(encoded(depth, as: .extended) == bytes("0000000000000001", "0000000080000001"))
    }

    @Test("every explanation is ASCII and fits into an error chunk")
    func explanations() {
        for refusal in RequestError.allCases {
            let text = "\(refusal.explanation)"
            #expect(!text.isEmpty)
            #expect(text.utf8.count <= RequestError.longestExplanation)
            #expect(text.utf8.allSatisfy { 32..<127 ~= $0 })
            #expect(refusal.error(for: .read) != .none)
        }
    }

    private func encoded(_ request: Request, as format: HeaderFormat) -> [UInt8] {
        encoded(format.requestSize) { request.encode(into: &$0, as: format) }
    }

    private func encoded(_ chunk: ReplyChunk, as format: HeaderFormat) -> [UInt8] {
        encoded(format.chunkHeaderSize) { chunk.encode(into: &$0, as: format) }
    }

    private func encoded(_ extent: Extent, as format: HeaderFormat) -> [UInt8] {
        encoded(Extent.encodedSize(format)) { extent.encode(into: &$0, at: 0, as: format) }
    }

    private func encoded(_ count: Int, _ encode: (inout MutableRawSpan) -> Void) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        encode(&raw)
        return bytes
    }
}
