import Harness
import LinuxIO
import NBDProtocol
import NBDServer
import Synchronization
import Testing

@Suite("A store of one's own")
struct BlockStoreTests {
    private static let formats: [HeaderFormat] = [.simple, .structured, .extended]

    private func serve(
        _ store: any BlockStore, isReadOnly: Bool = false, options: ServerOptions = ServerOptions()
    ) throws -> Server {
        let export = Export(store: store, isReadOnly: isReadOnly)
        let server = try Server(exports: [export], options: options)
        try server.start()
        return server
    }

    private func connect(
        _ server: Server, _ format: HeaderFormat, wantsContext: Bool = false
    ) throws -> TestClient {
        format == .simple
            ? try TestClient(to: server, export: "")
            : try TestClient(to: server, format, wantsContext: wantsContext)
    }

    private func read(
        _ client: TestClient, at offset: UInt64, count: Int, flags: CommandFlags = []
    ) throws -> [UInt8] {
        client.format == .simple
            ? try client.read(at: offset, count: count)
            : try client.readChunks(at: offset, count: count, flags: flags).bytes
    }

    private func write(_ client: TestClient, _ bytes: [UInt8], at offset: UInt64) throws {
        try client.done(
            Request(.write, cookie: 7, offset: offset, length: UInt64(bytes.count)), bytes)
    }

    /// The error code of a request that fails.
    private func failure(
        _ client: TestClient, _ request: Request, _ payload: [UInt8] = []
    ) throws -> WireError {
        client.format == .simple
            ? try client.call(request, payload) : try client.error(request, payload).error
    }

    @Test("is read and written in requests of any length", arguments: formats)
    func roundTrip(format: HeaderFormat) throws {
        let store = ArrayStore(size: 8 << 20)
        let client = try connect(try serve(store), format)
        for (offset, count) in [(0, 1), (4095, 2), (100, 1 << 20), (777, 3 << 20 + 5)] {
            let bytes = pattern(count, seed: UInt64(count))
            try write(client, bytes, at: UInt64(offset))
            #expect(try read(client, at: UInt64(offset), count: count) == bytes)
            #expect(Array(store.bytes[offset..<offset + count]) == bytes)
        }
        #expect(store.longest <= ArrayStore.longestTransfer)
        if format != .simple {
            let bytes = try read(client, at: 0, count: 5 << 20, flags: .dontFragment)
            #expect(bytes == Array(store.bytes[0..<5 << 20]))
        }
    }

    @Test(
        "answers a batch of requests with its bytes, and each request in turn", arguments: formats)
    func batch(format: HeaderFormat) throws {
        let store = ArrayStore(size: 4 << 20)
        let client = try connect(try serve(store), format)
        // More than the buffer of the connection, in one send.
        var requests: [UInt8] = []
        for index in 0..<48 as Range<UInt64> {
            requests +=
                Request(
                    .write, cookie: index, offset: index << 16, length: 60_000
                ).encoded(format) + pattern(60_000, seed: index)
        }
        for index in 0..<48 as Range<UInt64> {
            requests += Request(.read, cookie: 100 + index, offset: index << 16, length: 60_000)
                .encoded(format)
        }
        let all = requests
        let sender = try LinuxIO.Thread(name: "send") { try? client.send(all) }
        for _ in 0..<48 {
            if format == .extended { _ = try client.chunk() } else { _ = try client.reply() }
        }
        for index in 0..<48 as Range<UInt64> {
            let bytes: [UInt8]
            if format == .simple {
                #expect(try client.reply() == SimpleReply(cookie: 100 + index))
                bytes = try client.receive(60_000)
            } else {
                bytes = Array(try client.chunk().content.dropFirst(8))
            }
            #expect(bytes == pattern(60_000, seed: index))
        }
        sender.join()
    }

    @Test("fails a request with its own error, and serves the next", arguments: formats)
    func errors(format: HeaderFormat) throws {
        let store = ArrayStore(size: 8 << 20)
        let client = try connect(try serve(store), format)
        store.fail(.inputOutput("the disk is on fire"), from: 3 << 20)
        let read = Request(.read, cookie: 1, offset: 3 << 20, length: 4096)
        #expect(try failure(client, read) == WireError(rawValue: 5))
        // The payload behind the failure is drained.
        let write = Request(.write, cookie: 2, offset: 2 << 20, length: 4 << 20)
        #expect(try failure(client, write, pattern(4 << 20)) == WireError(rawValue: 5))
        #expect(Array(store.bytes[2 << 20..<3 << 20]) == Array(pattern(4 << 20)[..<(1 << 20)]))
        for command in [Command.trim, .writeZeroes] {
            let request = Request(command, cookie: 3, offset: 4 << 20, length: 4096)
            #expect(try failure(client, request) == WireError(rawValue: 5))
        }
        store.fail(.noSpace(), from: 0)
        let request = Request(.write, cookie: 4, offset: 0, length: 1)
        #expect(try failure(client, request, [1]) == .noSpace)
        store.fail(nil, from: 0)
        try self.write(client, [1], at: 0)
        #expect(try self.read(client, at: 0, count: 1) == [1])
    }

    @Test("has its message in an error chunk, cut to what fits")
    func message() throws {
        let store = ArrayStore(size: 1 << 20)
        let client = try connect(try serve(store), .structured)
        store.fail(.inputOutput("the disk is on fire"), from: 0)
        let request = Request(.read, cookie: 1, offset: 0, length: 1)
        #expect(try client.error(request).message == "the disk is on fire")
        store.fail(.inputOutput(String(repeating: "ä", count: 100)), from: 0)
        #expect(try client.error(request).message == String(repeating: "ä", count: 40))
    }

    @Test("fails in the middle of a long read", arguments: formats)
    func lateError(format: HeaderFormat) throws {
        let store = ArrayStore(size: 8 << 20)
        let client = try connect(try serve(store), format)
        store.fail(.inputOutput(), from: 2 << 20)
        let request = Request(.read, cookie: 1, offset: 0, length: 4 << 20)
        if format == .simple {
            // Nothing of the data is sent.
            #expect(try client.call(request) == WireError(rawValue: 5))
        } else {
            let types = try client.chunks(request).map(\.header.type)
            #expect(types == [.offsetData, .offsetData, .error])
        }
        #expect(try read(client, at: 0, count: 100) == [UInt8](repeating: 0, count: 100))
    }

    @Test("is flushed for FLUSH, and behind a change with FUA", arguments: formats)
    func flushes(format: HeaderFormat) throws {
        let store = ArrayStore(size: 1 << 20)
        let client = try connect(try serve(store), format)
        try write(client, [1], at: 0)
        #expect(store.flushes == 0)
        try client.done(Request(.flush, cookie: 1))
        #expect(store.flushes == 1)
        let flags = CommandFlags.forceUnitAccess
        try client.done(Request(.write, flags: flags, cookie: 2, offset: 0, length: 1), [2])
        try client.done(Request(.trim, flags: flags, cookie: 3, offset: 0, length: 1))
        try client.done(Request(.writeZeroes, flags: flags, cookie: 4, offset: 0, length: 1))
        #expect(store.flushes == 4)
        store.fail(.inputOutput(), from: 0)
        #expect(try failure(client, Request(.flush, cookie: 5)) == WireError(rawValue: 5))
    }

    @Test(
        "is zeroed by writes if it knows no better, and not when that must be fast",
        arguments: formats)
    func zeroes(format: HeaderFormat) throws {
        let store = ArrayStore(size: 8 << 20)
        let client = try connect(try serve(store), format)
        try write(client, pattern(4 << 20), at: 0)
        try client.done(Request(.writeZeroes, cookie: 1, offset: 1, length: 3 << 20))
        #expect(store.bytes[1..<3 << 20 + 1].allSatisfy { $0 == 0 })
        #expect(store.bytes[0] != 0 && store.bytes[3 << 20 + 1] != 0)
        let fast = Request(.writeZeroes, flags: .fastZero, cookie: 2, offset: 0, length: 1)
        #expect(try failure(client, fast) == WireError(rawValue: 95))
        #expect(store.bytes[0] != 0)
        try client.done(Request(.trim, cookie: 3, offset: 4096, length: 8192))
        #expect(store.discarded == [4096..<12_288])
    }

    @Test("is discarded in pieces, however long the range is")
    func longDiscard() throws {
        let store = HoleStore(size: 1 << 40)
        let client = try connect(try serve(store), .extended)
        try client.done(Request(.trim, cookie: 1, offset: 4096, length: 1 << 32))
        let ranges = store.discarded
        #expect(ranges.first?.lowerBound == 4096)
        #expect(ranges.last?.upperBound == 4096 + 1 << 32)
        #expect(ranges.allSatisfy { $0.count <= 64 << 20 })
        #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
    }

    @Test(
        "tells its extents, and is not read where it is empty",
        arguments: [HeaderFormat.structured, .extended])
    func extents(format: HeaderFormat) throws {
        let store = HoleStore(size: 1 << 20)
        let client = try connect(try serve(store), format, wantsContext: true)
        let mebibyte = try client.extents(at: 0, count: 1 << 20)
        let each = (0..<8).map {
            Extent(length: 1 << 17, status: $0 % 2 == 0 ? .data : .empty)
        }
        #expect(mebibyte == each)
        #expect(
            try client.extents(at: 1 << 16, count: 1 << 20 - 1 << 16, flags: .requestOne)
                == [Extent(length: 1 << 16, status: .data)])
        let (bytes, types) = try client.readChunks(at: 0, count: 1 << 18)
        #expect(types == [.offsetData, .offsetHole])
        #expect(bytes[..<(1 << 17)].allSatisfy { $0 == 1 })
        #expect(bytes[(1 << 17)...].allSatisfy { $0 == 0 })
        #expect(store.readOffsets == [0])
    }

    @Test("is not changed through a read-only export", arguments: formats)
    func readOnly(format: HeaderFormat) throws {
        let store = ArrayStore(size: 1 << 20)
        let client = try connect(try serve(store, isReadOnly: true), format)
        let write = Request(.write, cookie: 1, offset: 0, length: 3)
        #expect(try failure(client, write, [1, 2, 3]) == .notPermitted)
        for command in [Command.trim, .writeZeroes] {
            let request = Request(command, cookie: 1, offset: 0, length: 3)
            #expect(try failure(client, request) == .notPermitted)
        }
        #expect(try read(client, at: 0, count: 3) == [0, 0, 0])
        #expect(store.discarded.isEmpty && store.longest <= 3)
    }

    @Test("serves one connection while another waits in it")
    func concurrency() throws {
        let store = WaitingStore()
        let server = try serve(store)
        let first = try connect(server, .simple)
        let second = try connect(server, .simple)
        try first.send(Request(.read, cookie: 1, offset: 0, length: 1))
        // The read ends only after this write.
        try write(second, [9], at: 0)
        #expect(try first.reply() == SimpleReply(cookie: 1))
        #expect(try first.receive(1) == [9])
    }

    @Test("is what a model says, after any requests", arguments: formats)
    func model(format: HeaderFormat) throws {
        let size = 1 << 18
        let store = ArrayStore(size: size)
        let client = try connect(try serve(store), format)
        var random = SplitMix64(state: UInt64(format.rawValue) + 1)
        var model = [UInt8](repeating: 0, count: size)
        for cookie in 0..<400 as Range<UInt64> {
            let offset = Int.random(in: 0..<size, using: &random)
            let count = Int.random(in: 1...min(size - offset, 100_000), using: &random)
            let (place, length) = (UInt64(offset), UInt64(count))
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let bytes = pattern(count, seed: cookie)
                try write(client, bytes, at: place)
                model.replaceSubrange(offset..<offset + count, with: bytes)
            case 1:
                try client.done(Request(.writeZeroes, cookie: 1, offset: place, length: length))
                for index in offset..<offset + count { model[index] = 0 }
            case 2: try client.done(Request(.trim, cookie: 1, offset: place, length: length))
            default:
                #expect(
                    try read(client, at: place, count: count)
                        == Array(model[offset..<offset + count]))
            }
        }
        #expect(store.bytes == model)
    }

    @Test("that is a RAM disk is served like one")
    func ramDisk() throws {
        let disk = try RamDisk(size: 1 << 20, isSparse: true)
        let client = try connect(try serve(disk), .structured, wantsContext: true)
        try write(client, [1, 2, 3], at: 5000)
        #expect(
            try client.extents(at: 0, count: 1 << 20) == [
                Extent(length: 4096, status: .empty), Extent(length: 4096, status: .data),
                Extent(length: 1 << 20 - 8192, status: .empty),
            ])
        #expect(try disk.read(at: 5000, count: 3) == [1, 2, 3])
    }

    @Test("can be built on a RAM disk", arguments: formats)
    func wrapper(format: HeaderFormat) throws {
        let disk = try RamDisk(size: 4 << 20, isSparse: true)
        let client = try connect(try serve(Wrapper(disk: disk)), format)
        let bytes = pattern(2 << 20)
        try write(client, bytes, at: 4097)
        #expect(try read(client, at: 4097, count: 2 << 20) == bytes)
        try client.done(
            Request(.writeZeroes, flags: .fastZero, cookie: 1, offset: 0, length: 2 << 20))
        #expect(try disk.read(at: 4097, count: 10) == [UInt8](repeating: 0, count: 10))
        #expect(throws: BlockStoreError.self) { try disk.discard(0..<5 << 20) }
    }

    @Test("does not keep a server from stopping")
    func stopping() throws {
        var options = ServerOptions()
        options.stopGracePeriod = .seconds(10)
        let store = HoleStore(size: 1 << 62, discardMilliseconds: 5)
        let server = try serve(store, options: options)
        let client = try connect(server, .extended)
        try client.send(Request(.trim, cookie: 1, offset: 0, length: 1 << 61))
        while store.discarded.isEmpty { try pause(milliseconds: 1) }
        let start = MonotonicTime.now()
        server.stop()
        #expect(start.adding(milliseconds: 5_000) > MonotonicTime.now())
        let chunk = try client.chunk()
        #expect(WireError(rawValue: chunk.number(at: 0, as: UInt32.self)) == .shutdown)
    }
}

/// A store in an array, with the defaults for everything that has one, except that it notes discards. It fails on
/// demand.
private final class ArrayStore: BlockStore {
    private struct State {
        var bytes: [UInt8]
        var failure: BlockStoreError?
        var failsFrom: UInt64 = 0
        var flushes = 0
        var discarded: [Range<UInt64>] = []
        var longest = 0
    }

    let size: UInt64
    private let state: Mutex<State>

    init(size: Int) {
        self.size = UInt64(size)
        state = Mutex(State(bytes: [UInt8](repeating: 0, count: size)))
    }

    var bytes: [UInt8] { state.withLock { $0.bytes } }
    var flushes: Int { state.withLock { $0.flushes } }
    var discarded: [Range<UInt64>] { state.withLock { $0.discarded } }
    /// The longest transfer so far, in bytes.
    var longest: Int { state.withLock { $0.longest } }

    /// Fails calls that touch bytes from an offset on.
    func fail(_ failure: BlockStoreError?, from offset: UInt64) {
        state.withLock { state in
            state.failure = failure
            state.failsFrom = offset
        }
    }

    private func check(_ end: UInt64) throws(BlockStoreError) {
        let failure = state.withLock { end > $0.failsFrom ? $0.failure : nil }
        if let failure { throw failure }
    }

    func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) throws(BlockStoreError) {
        try check(offset + UInt64(buffer.count))
        let count = buffer.count
        let bytes = state.withLock { state in
            state.longest = max(state.longest, count)
            return state.bytes[Int(offset)..<Int(offset) + count]
        }
        for index in buffer.indices { buffer[index] = bytes[Int(offset) + index] }
    }

    func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(BlockStoreError) {
        try check(offset + UInt64(bytes.count))
        var copy: [UInt8] = []
        copy.reserveCapacity(bytes.count)
        for index in bytes.indices { copy.append(bytes[index]) }
        state.withLock { [copy] state in
            state.longest = max(state.longest, copy.count)
            state.bytes.replaceSubrange(Int(offset)..<Int(offset) + copy.count, with: copy)
        }
    }

    func flush() throws(BlockStoreError) {
        try check(.max)
        state.withLock { $0.flushes += 1 }
    }

    func discard(_ range: Range<UInt64>) throws(BlockStoreError) {
        try check(range.upperBound)
        state.withLock { $0.discarded.append(range) }
    }
}

/// A store of ones, of which every second 128 KiB are a hole.
private final class HoleStore: BlockStore {
    let size: UInt64
    private let discardMilliseconds: Int
    private let discards = Mutex<[Range<UInt64>]>([])
    private let reads = Mutex<[UInt64]>([])

    init(size: UInt64, discardMilliseconds: Int = 0) {
        self.size = size
        self.discardMilliseconds = discardMilliseconds
    }

    var discarded: [Range<UInt64>] { discards.withLock { $0 } }
    var readOffsets: [UInt64] { reads.withLock { $0 } }

    func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) {
        reads.withLock { $0.append(offset) }
        for index in buffer.indices { buffer[index] = 1 }
    }

    func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(BlockStoreError) {
        throw .notPermitted()
    }

    func discard(_ range: Range<UInt64>) {
        discards.withLock { $0.append(range) }
        if discardMilliseconds > 0 { try? pause(milliseconds: discardMilliseconds) }
    }

    func firstExtent(of range: Range<UInt64>) -> Extent {
        let block = range.lowerBound >> 17
        let end = min(range.upperBound, (block + 1) << 17)
        return Extent(
            length: end - range.lowerBound, status: block % 2 == 0 ? .data : .empty)
    }
}

/// A store of one byte, whose reads wait for a write.
private final class WaitingStore: BlockStore {
    let size: UInt64 = 1
    private let value = Atomic<UInt8>(0)

    func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) {
        while value.load(ordering: .acquiring) == 0 { try? pause(milliseconds: 1) }
        buffer[0] = value.load(ordering: .acquiring)
    }

    func write(_ bytes: Span<UInt8>, at offset: UInt64) {
        value.store(bytes[0], ordering: .releasing)
    }
}

/// A store that passes everything on to a RAM disk.
struct Wrapper: BlockStore {
    let disk: RamDisk

    var size: UInt64 { disk.size }

    func read(at offset: UInt64, into buffer: inout MutableSpan<UInt8>) throws(BlockStoreError) {
        try disk.read(at: offset, into: &buffer)
    }

    func write(_ bytes: Span<UInt8>, at offset: UInt64) throws(BlockStoreError) {
        try disk.write(bytes, at: offset)
    }

    func discard(_ range: Range<UInt64>) throws(BlockStoreError) { try disk.discard(range) }

    func zero(_ range: Range<UInt64>, options: ZeroOptions) throws(BlockStoreError) {
        try disk.zero(range, options: options)
    }

    func firstExtent(of range: Range<UInt64>) throws(BlockStoreError) -> Extent {
        try disk.firstExtent(of: range)
    }
}
