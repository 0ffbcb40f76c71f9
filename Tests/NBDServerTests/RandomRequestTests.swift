import Harness
import Glibc
import LinuxIO
import Synchronization
import Testing

@testable import NBDServer

@Suite("A disk under random requests")
struct RandomRequestTests {
    /// Each of four threads reads, writes and zeroes ranges of its own, so it knows what they contain.
    /// The ranges share runs of pages. Some share pages too: those pages are trimmed by all threads, so
    /// that their bytes may have become zero.
    @Test(
        "contains what a model contains while four threads read, write, trim and zero",
        arguments: DiskKind.allCases)
    func agreesWithModel(kind: DiskKind) throws {
        let seed = UInt64.random(in: 0...(.max))
        let start = contents(count: (5 << 18) - 1000, seed: seed)
        let disk = try kind.makeDisk(with: start)
        var finished = (0..<RandomClient.clientCount).map {
            RandomClient(index: $0, seed: seed, pages: disk.pages, contents: start)
        }
        for _ in 0..<8 {
            finished = try sendRequests(finished)
            expectTrueMap(of: disk, seed: seed)
        }
        for client in finished { #expect(client.failure == nil, "seed \(seed)") }
        let bytes = try disk.read(at: 0, count: Int(disk.size))
        for start in stride(from: 0, to: bytes.count, by: 1 << 10) {
            let quarter = start..<min(start + 1 << 10, bytes.count)
            let model = finished[RandomClient.owner(of: start)].model
            let isRight = RandomClient.isRight(Array(bytes[quarter]), model[quarter])
            if !isRight { Issue.record("wrong bytes in \(quarter), seed \(seed)") }
        }
        try expectNoPins(on: disk)
    }

    /// Returns what the disk contains at first: some pages of zeroes, and some that are full.
    private func contents(count: Int, seed: UInt64) -> [UInt8] {
        var random = SplitMix64(state: ~seed)
        var bytes = [UInt8](repeating: 0, count: count)
        for start in stride(from: 0, to: count, by: 4096) where Bool.random(using: &random) {
            for index in start..<min(start + 4096, count) {
                bytes[index] = UInt8.random(in: 1...255, using: &random)
            }
        }
        return bytes
    }

    /// Has each client send requests on a thread of its own, and returns the clients.
    private func sendRequests(_ clients: [RandomClient]) throws -> [RandomClient] {
        let finished = Mutex<[RandomClient]>([])
        let threads = try clients.map { client in
            try LinuxIO.Thread(name: "client") {
                var client = client
                for _ in 0..<150 where client.failure == nil { client.sendRequest() }
                finished.withLock { $0.append(client) }
            }
        }
        for thread in threads { thread.join() }
        return finished.withLock { $0.sorted { $0.index < $1.index } }
    }

    /// Checks that pages without a mark are zero, and have no memory on a sparse disk.
    private func expectTrueMap(of disk: RamDisk, seed: UInt64) {
        let map = disk.pages.map
        let unmarked = (0..<map.pageCount).filter { !map.isMarked($0) }
        if disk.isSparse {
            #expect(disk.residentBytes == (map.pageCount - unmarked.count) << 12, "seed \(seed)")
        } else {
            // Reading these pages of a sparse disk would allocate memory for them.
            for page in unmarked {
                let bytes = disk.pages.region.slice(at: page << 12, count: 4096)
                #expect(bytes.isZero, "seed \(seed)")
            }
        }
    }

    /// Checks that a trim releases everything, as it does when no page is pinned.
    private func expectNoPins(on disk: RamDisk) throws {
        #expect(disk.pages.trim(at: 0, count: disk.size) == .done)
        #expect(disk.isBlank)
        if disk.isSparse { #expect(disk.residentBytes == 0) }
    }
}

/// A client of a disk that sends random requests, and checks what it reads against a model.
private struct RandomClient: Sendable {
    static var clientCount: Int { 4 }
    private static var pagesPerSegment: Int { 8 }

    let index: Int
    private let pages: DiskPages
    private var random: SplitMix64
    /// The bytes that the client's ranges must contain; all others are as they were at first.
    private(set) var model: [UInt8]
    /// The first wrong result.
    private(set) var failure: String?

    init(index: Int, seed: UInt64, pages: DiskPages, contents: [UInt8]) {
        self.index = index
        self.pages = pages
        random = SplitMix64(state: seed &+ UInt64(index))
        model = contents
    }

    mutating func sendRequest() {
        let isShared = Bool.random(using: &random)
        let range = randomRange(isShared: isShared)
        let offset = UInt64(range.lowerBound)
        let count = UInt64(range.count)
        let kind = Int.random(in: 0..<8, using: &random)
        switch kind {
        case 0...2: write(range)
        case 3 where isShared: trimSharedSegment(with: range)
        case 3: zero(range, pages.trim(at: offset, count: count))
        case 4, 5:
            zero(range, pages.writeZeroes(at: offset, count: count, keepSpace: kind == 4))
        default: read(range)
        }
    }

    private static var segmentLength: Int { pagesPerSegment << 12 }

    /// Whether a byte is in a segment that all clients share: the last of each five.
    static func isShared(_ offset: Int) -> Bool {
        offset / segmentLength % (clientCount + 1) == clientCount
    }

    /// Returns the client that writes to a byte.
    static func owner(of offset: Int) -> Int {
        isShared(offset) ? (offset >> 10) % 4 : offset / segmentLength % (clientCount + 1)
    }

    /// Returns whether a disk contains what a model contains, or zeroes instead in shared segments.
    static func isRight(_ bytes: [UInt8], _ expected: ArraySlice<UInt8>) -> Bool {
        if bytes == Array(expected) { return true }
        return zip(bytes, expected.indices).allSatisfy { byte, index in
            byte == expected[index] || byte == 0 && isShared(index)
        }
    }

    /// Returns a range in one of the client's own segments, or in the client's quarter of a shared page.
    private mutating func randomRange(isShared: Bool) -> Range<Int> {
        let stride = Self.clientCount + 1
        let groups = model.count / Self.segmentLength / stride
        let group = Int.random(in: 0..<groups, using: &random) * stride
        var space: Range<Int>
        if isShared {
            let page = Int.random(in: 0..<Self.pagesPerSegment, using: &random)
            let segment = (group + Self.clientCount) * Self.segmentLength
            let start = segment + page << 12 + index << 10
            space = start..<start + 1 << 10
        } else {
            let start = (group + index) * Self.segmentLength
            space = start..<start + Self.segmentLength
        }
        // Mostly some bytes of it, sometimes all.
        if Int.random(in: 0..<4, using: &random) > 0 {
            let start = Int.random(in: space, using: &random)
            space = start..<Int.random(in: start + 1...space.upperBound, using: &random)
        }
        return space
    }

    /// Trims the whole segment that contains a range, whatever the other clients do with it.
    private mutating func trimSharedSegment(with range: Range<Int>) {
        let start = range.lowerBound / Self.segmentLength * Self.segmentLength
        let segment = start..<start + Self.segmentLength
        zero(segment, pages.trim(at: UInt64(start), count: UInt64(segment.count)))
    }

    private mutating func write(_ range: Range<Int>) {
        let byte = UInt8.random(in: 1...255, using: &random)
        let bytes = [UInt8](repeating: byte, count: range.count)
        guard
            let target = pages.beginWrite(at: UInt64(range.lowerBound), count: UInt64(range.count))
        else {
            failure = "no memory for a write of \(range)"
            return
        }
        // As if the bytes were still to be received: let the other threads run.
        sched_yield()
        target.copy(from: bytes)
        pages.endWrite(at: UInt64(range.lowerBound), count: UInt64(range.count))
        model.replaceSubrange(range, with: bytes)
    }

    private mutating func zero(_ range: Range<Int>, _ result: ZeroingResult) {
        if result != .done { failure = "zeroing \(range) returned \(result)" }
        model.replaceSubrange(range, with: [UInt8](repeating: 0, count: range.count))
    }

    private mutating func read(_ range: Range<Int>) {
        guard var pins = try? ReadPins(pages.pins) else {
            failure = "no memory for pins"
            return
        }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = UInt64(range.upperBound - offset)
            let region = pages.readable(at: UInt64(offset), count: count, pins: &pins)
            // As if the reply were still to be sent.
            sched_yield()
            let bytes = region.bytes
            if !Self.isRight(bytes, model[offset..<offset + bytes.count]) {
                failure = "a read of \(range) returned wrong bytes"
            }
            offset += bytes.count
        }
    }
}
