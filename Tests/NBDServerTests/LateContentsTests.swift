import Harness
import Glibc
import LinuxIO
import NBDProtocol
import Synchronization
import Testing

@testable import NBDServer

@Suite("A disk that is served before its contents are there")
struct LateContentsTests {
    private static let formats: [HeaderFormat] = [.simple, .structured, .extended]
    private static let piece = Int(LateContents.pieceLength)
    /// Five pieces, of which the last one is short and ends inside a page.
    private let size = UInt64(4 * piece + 9000)

    private func connect(_ server: Server, _ format: HeaderFormat) throws -> TestClient {
        format == .simple
            ? try TestClient(to: server, export: "disk")
            : try TestClient(to: server, format, wantsContext: true)
    }

    private func read(_ client: TestClient, at offset: Int, count: Int) throws -> [UInt8] {
        client.format == .simple
            ? try client.read(at: UInt64(offset), count: count)
            : try client.readChunks(at: UInt64(offset), count: count).bytes
    }

    private func write(_ client: TestClient, _ bytes: [UInt8], at offset: Int) throws {
        try client.done(
            Request(.write, cookie: 7, offset: UInt64(offset), length: UInt64(bytes.count)), bytes)
    }

    private func failure(
        _ client: TestClient, _ request: Request, _ payload: [UInt8] = []
    ) throws -> WireError {
        client.format == .simple
            ? try client.call(request, payload) : try client.error(request, payload).error
    }

    private func makeDisk(
        isSparse: Bool, from source: PagesSource
    ) throws -> (disk: RamDisk, contents: LateContents) {
        let disk = try RamDisk(filledLate: size, isSparse: isSparse)
        let contents = try #require(disk.lateContents)
        contents.begin(with: source)
        return (disk, contents)
    }

    @Test(
        "has the right bytes at once, and fetches only what a request needs", arguments: formats,
        [false, true])
    func reads(format: HeaderFormat, isSparse: Bool) throws {
        let source = PagesSource(size: size)
        let (disk, _) = try makeDisk(isSparse: isSparse, from: source)
        let client = try connect(try makeServer(disk), format)
        for (offset, count) in [(3 * Self.piece + 5, 10_000), (3 * Self.piece, 1)] {
            #expect(try read(client, at: offset, count: count) == source.bytes(offset, count))
        }
        #expect(source.fetches == [3: 1])
        // The end of one piece and the start of the next; then the short last one.
        for (offset, count) in [(2 * Self.piece - 100, 5000), (Int(size) - 8999, 8999)] {
            #expect(try read(client, at: offset, count: count) == source.bytes(offset, count))
        }
        #expect(source.fetches == [1: 1, 2: 1, 3: 1, 4: 1])
        #expect(disk.isPending && !disk.isBlank)
        #expect(try read(client, at: 0, count: Int(size)) == source.bytes(0, Int(size)))
        #expect(!disk.isPending)
        #expect(source.fetches == [0: 1, 1: 1, 2: 1, 3: 1, 4: 1])
    }

    @Test(
        "keeps what is around a write, zeroes or a trim in a missing piece", arguments: formats,
        [false, true])
    func changes(format: HeaderFormat, isSparse: Bool) throws {
        let source = PagesSource(size: size)
        let (disk, _) = try makeDisk(isSparse: isSparse, from: source)
        let client = try connect(try makeServer(disk), format)
        var expected = source.bytes(0, Int(size))
        try write(client, [1, 2, 3], at: 2 * Self.piece - 1)
        expected.replaceSubrange(2 * Self.piece - 1..<2 * Self.piece + 2, with: [1, 2, 3])
        for (command, offset) in [(Command.trim, 5000), (.writeZeroes, 3 * Self.piece + 5000)] {
            try client.done(Request(command, cookie: 8, offset: UInt64(offset), length: 20_000))
            for index in offset..<offset + 20_000 { expected[index] = 0 }
        }
        #expect(try read(client, at: 0, count: Int(size)) == expected)
    }

    @Test("serves each connection from memory when all is there, with exact block status")
    func becomesOrdinary() throws {
        let source = PagesSource(size: size)
        let (disk, contents) = try makeDisk(isSparse: true, from: source)
        let client = try connect(try makeServer(disk), .structured)
        // Asking where its holes are would be fetching it.
        let all = [Extent(length: size, status: .data)]
        #expect(try client.extents(at: 0, count: size) == all)
        #expect(source.fetches.isEmpty)
        // The piece is a hole, but what follows is not known to be one.
        try contents.fetch(PagesSource.hole, to: disk)
        let hole = Extent(length: UInt64(Self.piece), status: .empty)
        #expect(
            try client.extents(at: 0, count: size) == [
                Extent(length: UInt64(PagesSource.hole * Self.piece), status: .data), hole,
                Extent(length: size - UInt64((PagesSource.hole + 1) * Self.piece), status: .data),
            ])
        for piece in 0..<contents.pieceCount { try contents.fetch(piece, to: disk) }
        let exact = try client.extents(at: 0, count: size)
        #expect(exact.contains(hole) && exact.count > 100)
        try write(client, [9], at: PagesSource.hole * Self.piece)
        #expect(try read(client, at: PagesSource.hole * Self.piece, count: 2) == [9, 0])
        #expect(source.fetches.values.allSatisfy { $0 == 1 })
    }

    @Test(
        "fails requests for a piece that cannot be fetched, and tries again with each",
        arguments: formats)
    func failures(format: HeaderFormat) throws {
        let source = PagesSource(size: size)
        let (disk, contents) = try makeDisk(isSparse: false, from: source)
        let client = try connect(try makeServer(disk), format)
        source.breakPiece(1)
        let offset = UInt64(Self.piece)
        for command in [Command.read, .trim, .writeZeroes] {
            let request = Request(command, cookie: 3, offset: offset + 5, length: 10)
            #expect(try failure(client, request) == .inputOutput)
        }
        let write = Request(.write, cookie: 4, offset: offset - 5, length: 10)
        #expect(try failure(client, write, pattern(10)) == .inputOutput)
        #expect(source.fetches[1] == 4)
        // Other pieces are served, and a request that touches the broken one has changed nothing of them.
        #expect(try read(client, at: 0, count: Self.piece) == source.bytes(0, Self.piece))
        #expect(throws: RamDisk.AccessError.unavailable("piece 1 is broken")) {
            try disk.read(at: offset, count: 1)
        }
        #expect(throws: SnapshotError.contentsMissing) { try disk.makeSnapshot() }
        source.repair()
        for piece in 0..<contents.pieceCount { try contents.fetch(piece, to: disk) }
        #expect(try read(client, at: 0, count: Int(size)) == source.bytes(0, Int(size)))
        _ = try disk.makeSnapshot()
    }

    @Test("counts no fetch as a change, and every write", arguments: [false, true])
    func markers(isSparse: Bool) throws {
        let disk = try RamDisk(filledLate: size, isSparse: isSparse)
        let contents = try #require(disk.lateContents)
        let marker = try disk.makeSnapshot().makeMarker()
        contents.begin(with: PagesSource(size: size))
        try contents.fetch(0, to: disk)
        #expect(marker.changedBytes == 0)
        try disk.write([1], at: 2 * LateContents.pieceLength)
        #expect(marker.changedBytes == 4096)
        for piece in 0..<contents.pieceCount { try contents.fetch(piece, to: disk) }
        #expect(marker.changedBytes == 4096)
        let snapshot = try disk.makeSnapshot()
        #expect(
            snapshot.nextChange(since: marker, from: 0)
                == 2 * LateContents.pieceLength..<2 * LateContents.pieceLength + 4096)
    }

    @Test("takes the memory of a plain disk with its pieces, and locks it as far as it may")
    func memory() throws {
        let disk = try RamDisk(filledLate: 64 << 20, isSparse: false)
        let contents = try #require(disk.lateContents)
        contents.begin(with: PagesSource(size: 64 << 20, isEmpty: true))
        let before = ResidentPages.count(of: disk)
        #expect(before == 0)
        for piece in 0..<contents.pieceCount { try contents.fetch(piece, to: disk) }
        #expect(ResidentPages.count(of: disk) == disk.pages.map.pageCount)
        #expect(disk.isBlank)
        #expect(disk.lockFailure == (try RamDisk(size: 64 << 20)).lockFailure)
    }

    @Test("has its memory promised until it is taken, so that no other disk can take it")
    func promised() throws {
        let available = try #require(AvailableMemory.bytes)
        try withPromise(of: available / 2) {
            #expect(throws: RamDiskError.self) {
                try DiskMemory.checkAvailable(size: 4096, needed: available * 3 / 4)
            }
            #expect(DiskMemory.sparseRoom < available * 3 / 4)
        }
        // It went with the disk.
        try DiskMemory.checkAvailable(size: 4096, needed: available * 3 / 5)
    }

    private func withPromise(of count: Int, _ body: () throws -> Void) throws {
        let disk = try RamDisk(filledLate: UInt64(count), isSparse: false)
        let contents = try #require(disk.lateContents)
        #expect(contents.promisedBytes == count)
        contents.begin(with: PagesSource(size: 4 << 20, isEmpty: true))
        try contents.fetch(1, to: disk)
        #expect(contents.promisedBytes == count - Self.piece)
        try body()
        extendLifetime(disk)
    }

    @Test("leaves clients of a sparse disk no memory that it needs itself")
    func reserved() throws {
        let source = PagesSource(size: size)
        let limit = Int(source.dataBytes) + 100 * 4096
        let disk = try RamDisk(
            DiskMemory(sharedFor: size), size: size, isSparse: true, isFilledLate: true,
            memoryLimit: limit)
        let contents = try #require(disk.lateContents)
        contents.begin(with: source)
        let client = try connect(try makeServer(disk), .structured)
        let hole = PagesSource.hole * Self.piece
        try write(client, pattern(100 * 4096), at: hole)
        for command in [Command.write, .writeZeroes] {
            let isWrite = command == .write
            let request = Request(
                command, flags: isWrite ? [] : .noHole, cookie: 9,
                offset: UInt64(hole + 100 * 4096), length: 4096)
            #expect(try failure(client, request, isWrite ? pattern(4096) : []) == .noSpace)
        }
        for piece in 0..<contents.pieceCount { try contents.fetch(piece, to: disk) }
        #expect(contents.promisedBytes == 0 && disk.residentBytes == UInt64(limit))
        var expected = source.bytes(0, Int(size))
        expected.replaceSubrange(hole..<hole + 100 * 4096, with: pattern(100 * 4096))
        #expect(try read(client, at: 0, count: Int(size)) == expected)
        // Memory that is free again is the client's.
        try client.done(Request(.trim, cookie: 8, offset: UInt64(hole), length: 4096))
        try write(client, [5], at: hole + 100 * 4096)
    }

    @Test(
        "is what a model is, whatever clients do on several connections while it is filled",
        arguments: [false, true])
    func model(isSparse: Bool) throws {
        let source = PagesSource(size: size)
        let (disk, contents) = try makeDisk(isSparse: isSparse, from: source)
        let server = try makeServer(disk)
        let models = try (0..<4).map { number in
            StripeModel(
                try connect(server, Self.formats[number % 3]), source, number: number, of: 4)
        }
        let clients = try models.map { model in try Thread(name: "client") { model.run() } }
        let filler = try Thread(name: "filler") {
            for piece in (0..<contents.pieceCount).reversed() {
                Thread.sleep(milliseconds: 10)
                do { try contents.fetch(piece, to: disk) } catch { Issue.record(error) }
            }
        }
        for thread in clients + [filler] { thread.join() }
        #expect(!disk.isPending)
        #expect(source.fetches.values.allSatisfy { $0 == 1 })
        for model in models { #expect(model.failures == []) }
        let bytes = try disk.read(at: 0, count: Int(size))
        for model in models { #expect(model.differences(from: bytes) == []) }
    }
}

// MARK: - Fakes

/// Contents whose pages are full of bytes of their own, or empty.
private final class PagesSource: LateSource {
    /// A piece that is empty.
    static let hole = 2

    private struct State {
        var fetches: [Int: Int] = [:]
        var broken: Int?
    }

    private let size: UInt64
    private let isEmpty: Bool
    private let state = Mutex(State())

    init(size: UInt64, isEmpty: Bool = false) {
        self.size = size
        self.isEmpty = isEmpty
    }

    /// How often each piece was asked for.
    var fetches: [Int: Int] { state.withLock(\.fetches) }

    func breakPiece(_ piece: Int) { state.withLock { $0.broken = piece } }
    func repair() { state.withLock { $0.broken = nil } }

    private func byte(_ offset: Int) -> UInt8 {
        let page = offset / 4096
        let isHole = page % 5 == 0 || offset / Int(LateContents.pieceLength) == Self.hole
        return isEmpty || isHole ? 0 : UInt8(truncatingIfNeeded: page) | 1
    }

    var dataBytes: UInt64 {
        UInt64(stride(from: 0, to: Int(size), by: 4096).count { byte($0) != 0 } * 4096)
    }

    func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
        (offset..<offset + count).map(byte)
    }

    func fetch(_ range: Range<UInt64>, to disk: RamDisk) throws(BlockStoreError) -> UInt64 {
        let piece = Int(range.lowerBound / LateContents.pieceLength)
        let isBroken = state.withLock { state in
            state.fetches[piece, default: 0] += 1
            return state.broken == piece
        }
        guard !isBroken else { throw .inputOutput("piece \(piece) is broken") }
        guard let page = try? MemoryMapping(privateBytes: 4096) else { throw .noMemory() }
        var pageCount: UInt64 = 0
        for start in stride(from: Int(range.lowerBound), to: Int(range.upperBound), by: 4096)
        where byte(start) != 0 {
            pageCount += 1
            let count = min(4096, Int(range.upperBound) - start)
            page.region.copy(from: [UInt8](repeating: byte(start), count: count))
            guard disk.fill(page.region.slice(at: 0, count: count), at: UInt64(start)) else {
                throw .noMemory()
            }
        }
        return pageCount * 4096
    }
}

/// Random requests of one client, and what the bytes that it owns must be. Each client owns every fourth stripe of a
/// length that is not a whole number of pages, so clients share pages and pieces, and no byte.
private final class StripeModel: Sendable {
    private static let stripe = 3000
    private static let requestCount = 300

    private let client: TestClient
    private let stripes: [Range<Int>]
    private let number: Int
    private let state: Mutex<(bytes: [Int: [UInt8]], failures: [String])>

    init(_ client: TestClient, _ source: PagesSource, number: Int, of count: Int) {
        self.client = client
        self.number = number
        stripes = stride(
            from: number * Self.stripe, to: 4 * Int(LateContents.pieceLength),
            by: count * Self.stripe
        ).map { $0..<$0 + Self.stripe }
        state = Mutex(
            (
                Dictionary(
                    uniqueKeysWithValues: stripes.map {
                        ($0.lowerBound, source.bytes($0.lowerBound, Self.stripe))
                    }), []
            ))
    }

    var failures: [String] { state.withLock(\.failures) }

    func differences(from disk: [UInt8]) -> [Range<Int>] {
        state.withLock { state in stripes.filter { Array(disk[$0]) != state.bytes[$0.lowerBound] } }
    }

    func run() {
        var random = SplitMix64(state: UInt64(number))
        for _ in 0..<Self.requestCount {
            guard let stripe = stripes.randomElement(using: &random) else { return }
            do {
                try request(on: stripe.lowerBound, &random)
            } catch {
                state.withLock { $0.failures.append("\(error)") }
                return
            }
        }
    }

    private func request(on start: Int, _ random: inout SplitMix64) throws {
        let offset = UInt64(start)
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
            let bytes = [UInt8](
                repeating: UInt8.random(in: 1...255, using: &random), count: Self.stripe)
            try client.done(
                Request(.write, cookie: 1, offset: offset, length: UInt64(bytes.count)), bytes)
            state.withLock { $0.bytes[start] = bytes }
        case 1:
            let command: Command = Bool.random(using: &random) ? .trim : .writeZeroes
            try client.done(
                Request(command, cookie: 2, offset: offset, length: UInt64(Self.stripe)))
            state.withLock { $0.bytes[start] = [UInt8](repeating: 0, count: Self.stripe) }
        default:
            let bytes =
                client.format == .simple
                ? try client.read(at: offset, count: Self.stripe)
                : try client.readChunks(at: offset, count: Self.stripe).bytes
            state.withLock { state in
                if bytes != state.bytes[start] { state.failures.append("a wrong read at \(start)") }
            }
        }
    }
}

/// The pages of a plain disk that have memory. mincore(2)
private enum ResidentPages {
    static func count(of disk: RamDisk) -> Int {
        let region = disk.pages.region
        var flags = [UInt8](repeating: 0, count: region.count / 4096)
        guard unsafe mincore(region.base, region.count, &flags) == 0 else { return -1 }
        return flags.count { $0 & 1 == 1 }
    }
}
