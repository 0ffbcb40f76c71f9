import Harness
import Glibc
import LinuxIO
import NBDProtocol
import Synchronization
import Testing

@testable import NBDServer

@Suite("A snapshot")
struct SnapshotTests {
    private let size: UInt64 = 1 << 20

    @Test(
        "shows what the disk was, whatever is written, zeroed or trimmed later",
        arguments: [false, true])
    func isFrozen(isSparse: Bool) throws {
        let disk = try RamDisk(size: size - 1000, isSparse: isSparse)
        try disk.write(pattern(1, 20_000), at: 4000)
        let before = try disk.read(at: 0, count: Int(disk.size))
        let snapshot = try disk.makeSnapshot()
        try disk.write(pattern(2, 50_000), at: 0)
        disk.pages.trim(at: 8192, count: 8192)
        _ = disk.pages.writeZeroes(at: 20_000, count: 3000, keepSpace: true)
        try disk.write(pattern(3, 100), at: disk.size - 100)
        #expect(try bytes(of: snapshot) == before)
        #expect(try disk.read(at: 0, count: 4) == Array(pattern(2, 50_000).prefix(4)))
        #expect(disk.preservedBytes > 0)
    }

    @Test(
        "and an older one each show their own instant, and deleting either leaves the other",
        arguments: [0, 1, 2])
    func several(deleted: Int) throws {
        let disk = try RamDisk(size: size)
        var snapshots: [DiskSnapshot?] = []
        var contents: [[UInt8]] = []
        for round in 0..<3 {
            // Some pages change in every round, others in one only.
            try disk.write(pattern(UInt8(round + 1), 30_000), at: 0)
            try disk.write(pattern(UInt8(round + 11), 9000), at: UInt64(100_000 * (round + 1)))
            contents.append(try disk.read(at: 0, count: Int(size)))
            snapshots.append(try disk.makeSnapshot())
        }
        disk.pages.trim(at: 0, count: size)
        snapshots[deleted] = nil
        for (snapshot, content) in zip(snapshots, contents) {
            guard let snapshot else { continue }
            #expect(try bytes(of: snapshot) == content)
        }
        snapshots = []
        #expect(disk.preservedBytes == 0)
        #expect(disk.pages.versions.epoch == 0)
    }

    @Test("returns its memory when it is deleted, and the next one takes it again")
    func memory() throws {
        let disk = try RamDisk(size: 2 << 20)
        try disk.write(pattern(1, 2 << 20), at: 0)
        for round in 2..<5 as Range<UInt8> {
            let snapshot = try disk.makeSnapshot()
            try disk.write(pattern(round, 2 << 20), at: 0)
            #expect(disk.preservedBytes == 2 << 20)
            #expect(disk.versionMemory.residentBytes >= 2 << 20)
            withExtendedLifetime(snapshot) {}
        }
        #expect(disk.preservedBytes == 0)
        #expect(disk.versionMemory.residentBytes == 0)
    }

    @Test("takes no memory for pages that were empty, and says that they were")
    func emptyPages() throws {
        let disk = try RamDisk(size: size, isSparse: true)
        try disk.write([1], at: 8192)
        let snapshot = try disk.makeSnapshot()
        try disk.write(pattern(2, 16_384), at: 0)
        disk.pages.trim(at: 8192, count: 4096)
        #expect(disk.preservedBytes == 4096)
        let first = try snapshot.firstExtent(of: 0..<size)
        #expect(first.length == 8192 && first.status == .empty)
        let second = try snapshot.firstExtent(of: 8192..<size)
        #expect(second.length == 4096 && second.status == .data)
        #expect(try snapshot.firstExtent(of: 12_288..<size).length == size - 12_288)
    }

    @Test(
        "is one of many of a disk that is written and trimmed between them",
        arguments: [false, true])
    func manyOfEmptyPages(isSparse: Bool) throws {
        let disk = try RamDisk(size: 64 << 12, isSparse: isSparse)
        var snapshots: [DiskSnapshot] = []
        for round in 0..<12 as Range<UInt8> {
            snapshots.append(try disk.makeSnapshot())
            try disk.write(pattern(round, 64 << 12), at: 0)
            if round % 4 == 3 { snapshots.append(try disk.makeSnapshot()) }
            disk.pages.trim(at: 0, count: disk.size)
        }
        #expect(snapshots.allSatisfy { !$0.isLost })
        let empty = [UInt8](repeating: 0, count: 64 << 12)
        #expect(try bytes(of: snapshots[3]) == empty)
        #expect(try bytes(of: snapshots[4]) == pattern(3, 64 << 12))
        snapshots.removeSubrange(1..<14)
        #expect(try bytes(of: snapshots[0]) == empty)
        #expect(disk.preservedBytes == (snapshots.count > 1 ? 64 << 12 : 0))
    }

    @Test("is lost when its memory is used up, and the disk is unaffected")
    func limit() throws {
        let disk = try RamDisk(size: size)
        try disk.write(pattern(1, Int(size)), at: 0)
        disk.snapshotMemoryLimit = 65_536
        let snapshot = try disk.makeSnapshot()
        try disk.write(pattern(2, 65_536), at: 0)
        #expect(!snapshot.isLost)
        #expect(try bytes(of: snapshot) == pattern(1, Int(size)))
        try disk.write(pattern(2, Int(size) - 65_536), at: 65_536)
        #expect(snapshot.isLost)
        let error = #expect(throws: BlockStoreError.self) { _ = try bytes(of: snapshot) }
        #expect(error?.message.contains("raise the limit of that memory") == true)
        #expect(try disk.read(at: 65_536, count: 10) == Array(pattern(2, 10)))
        // The next one has the memory, once the lost one is deleted.
        disk.snapshotMemoryLimit = UInt64(size)
        let next = try disk.makeSnapshot()
        let content = try disk.read(at: 0, count: Int(size))
        disk.pages.trim(at: 65_536, count: size - 65_536)
        #expect(!next.isLost)
        #expect(try bytes(of: next) == content)
        withExtendedLifetime(snapshot) {}
    }

    @Test("tells changes to the byte inside any range, and fails rather than tell too few")
    func runs() throws {
        let disk = try RamDisk(size: size - 1000)
        disk.snapshotMemoryLimit = 65_536
        try disk.write(pattern(1, Int(disk.size)), at: 0)
        let marker = try disk.makeSnapshot().makeMarker()
        try disk.write([9, 9], at: 8191)
        try disk.write([9], at: disk.size - 1)
        let snapshot = try disk.makeSnapshot()
        func run(_ range: Range<UInt64>) throws -> [UInt64] {
            let run = try snapshot.firstRun(of: range, since: marker)
            return [run.length, run.isChanged ? 1 : 0]
        }
        #expect(try run(0..<disk.size) == [4096, 0])
        #expect(try run(1..<4097) == [4095, 0])
        #expect(try run(4096..<4097) == [1, 1])
        #expect(try run(5000..<disk.size) == [12_288 - 5000, 1])
        #expect(try run(12_288..<disk.size) == [size - 4096 - 12_288, 0])
        #expect(try run(disk.size - 1..<disk.size) == [1, 1])
        #expect(throws: BlockStoreError.self) { try run(0..<disk.size + 1) }
        #expect(throws: BlockStoreError.self) { try run(5..<5) }
        // Lost pages have no birth, and could pass for unchanged.
        try disk.write(pattern(2, 1 << 17), at: 0)
        #expect(snapshot.isLost)
        #expect(throws: BlockStoreError.self) { try run(0..<disk.size) }
        // The marker outlives that: the next snapshot has those changes and the earlier ones.
        disk.snapshotMemoryLimit = nil
        let next = try disk.makeSnapshot()
        #expect(
            changes(of: next, since: marker) == [0..<1 << 17, size - 4096..<disk.size])
    }

    @Test(
        "does not wait for a write in progress, and what it shows of that write never changes",
        arguments: [false, true])
    func writeInProgress(isSparse: Bool) throws {
        let disk = try RamDisk(size: size, isSparse: isSparse)
        try disk.write(pattern(1, 8192), at: 0)
        let slot = try ChangeSlot(disk.pages.versions)
        var pages = disk.pages
        pages.slot = slot.index
        let target = try #require(pages.beginWrite(at: 0, count: 8192))
        target.slice(at: 0, count: 4096).copy(from: [UInt8](repeating: 2, count: 4096))
        let snapshot = try disk.makeSnapshot()
        let shown = try bytes(of: snapshot)
        #expect(Array(shown[0..<4096]) == [UInt8](repeating: 2, count: 4096))
        target.slice(at: 4096, count: 4096).copy(from: [UInt8](repeating: 2, count: 4096))
        pages.endWrite(at: 0, count: 8192)
        #expect(try bytes(of: snapshot) == shown)
        #expect(try disk.read(at: 4096, count: 1) == [2])
    }

    @Test(
        "finds what has changed since another one, also when that one is gone",
        arguments: [false, true])
    func changes(isSparse: Bool) throws {
        let disk = try RamDisk(size: size, isSparse: isSparse)
        try disk.write(pattern(1, Int(size)), at: 0)
        var first: DiskSnapshot? = try disk.makeSnapshot()
        let marker = try #require(first?.makeMarker())
        first = nil
        try disk.write([9], at: 5000)
        disk.pages.trim(at: 65_536, count: 8192)
        let second = try disk.makeSnapshot()
        // Changes after it are none of its own, whether or not it was changed before.
        try disk.write([9], at: 5000)
        try disk.write([9], at: 300_000)
        #expect(changes(of: second, since: marker) == [4096..<8192, 65_536..<73_728])
        let third = try disk.makeSnapshot()
        #expect(
            changes(of: third, since: marker) == [4096..<8192, 65_536..<73_728, 299_008..<303_104])
        #expect(changes(of: third, since: second.makeMarker()) == [4096..<8192, 299_008..<303_104])
    }

    @Test("brings the disk back, and newer ones keep what they show", arguments: [false, true])
    func rollBack(isSparse: Bool) throws {
        let disk = try RamDisk(size: size - 100, isSparse: isSparse)
        try disk.write(pattern(1, 100_000), at: 0)
        let before = try disk.read(at: 0, count: Int(disk.size))
        let snapshot = try disk.makeSnapshot()
        try disk.write(pattern(2, Int(disk.size)), at: 0)
        let newer = try disk.makeSnapshot()
        disk.pages.trim(at: 0, count: 50_000)
        try disk.rollBack(to: snapshot)
        #expect(try disk.read(at: 0, count: Int(disk.size)) == before)
        #expect(try bytes(of: newer) == pattern(2, Int(disk.size)))
        #expect(try bytes(of: snapshot) == before)
        let other = try RamDisk(size: size)
        #expect(throws: SnapshotError.otherDisk) { try other.rollBack(to: snapshot) }
    }

    @Test("refuses everything that would change it")
    func readOnly() throws {
        let snapshot = try RamDisk(size: size).makeSnapshot()
        #expect(throws: BlockStoreError.self) { try snapshot.write([1].span, at: 0) }
        #expect(throws: BlockStoreError.self) { try snapshot.discard(0..<4096) }
        #expect(throws: BlockStoreError.self) { try snapshot.zero(0..<4096, options: []) }
        #expect(throws: BlockStoreError.self) { _ = try snapshot.firstExtent(of: 0..<size + 1) }
        var buffer = [UInt8](repeating: 0, count: 10)
        #expect(throws: BlockStoreError.self) {
            var span = buffer.mutableSpan
            try snapshot.read(at: size - 5, into: &span)
        }
    }

    /// The number of operations can be raised: `SNAPSHOT_OPERATIONS=1000000`.
    @Test(
        "shows every finished change and no later one, and which pages changed, under random changes by four threads",
        arguments: DiskKind.allCases)
    func agreesWithModel(kind: DiskKind) throws {
        let wanted = unsafe getenv("SNAPSHOT_OPERATIONS").flatMap {
            unsafe Int(String(cString: $0))
        }
        let operations = wanted ?? 200_000
        let run = try RandomChanges(kind: kind, operations: operations)
        try run.perform()
        #expect(run.violations.withLock { $0 } == [])
        #expect(run.snapshotCount > 10)
        #expect(run.disk.preservedBytes == 0)
    }

    private func pattern(_ seed: UInt8, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) &+ seed | 1 }
    }

    private func bytes(of snapshot: DiskSnapshot) throws(BlockStoreError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(snapshot.size))
        var span = bytes.mutableSpan
        try snapshot.read(at: 0, into: &span)
        return bytes
    }

    private func changes(
        of snapshot: DiskSnapshot, since marker: DiskSnapshot.Marker
    ) -> [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        var offset: UInt64 = 0
        while let range = snapshot.nextChange(since: marker, from: offset) {
            ranges.append(range)
            offset = range.upperBound
        }
        return ranges
    }
}

/// Four threads that change pages of their own, each time to contents that say how often the page was changed,
/// and one that takes snapshots and checks what they show.
///
/// The model of a page is two counts: changes that have begun, and changes that have ended. What a snapshot shows
/// must be the result of a change between those that had ended before it was taken and those that had begun
/// afterwards, and must stay the same.
private final class RandomChanges: Sendable {
    static let clientCount = 4
    static let pageCount = 256
    let disk: RamDisk
    let violations = Mutex<[String]>([])
    private let snapshots = Atomic<Int>(0)
    private let begun: [Counter] = (0..<pageCount).map { _ in Counter() }
    private let ended: [Counter] = (0..<pageCount).map { _ in Counter() }
    private let left: Atomic<Int>
    private let running = Atomic<Int>(clientCount)
    private let seed = UInt64.random(in: 0...(.max))

    final class Counter: Sendable {
        let value = Atomic<UInt64>(0)
        var count: UInt64 { value.load(ordering: .sequentiallyConsistent) }
        func set(_ count: UInt64) { value.store(count, ordering: .sequentiallyConsistent) }
    }

    init(kind: DiskKind, operations: Int) throws {
        let words = (0..<Self.pageCount).flatMap { Self.contents($0, after: 1) }
        disk = try kind.makeDisk(with: unsafe words.withUnsafeBytes { unsafe Array($0) })
        left = Atomic(operations)
        for page in 0..<Self.pageCount {
            begun[page].set(1)
            ended[page].set(1)
        }
    }

    var snapshotCount: Int { snapshots.load(ordering: .relaxed) }

    func perform() throws {
        let clients = try (0..<Self.clientCount).map { index in
            try LinuxIO.Thread(name: "client") {
                self.change(index)
                self.running.subtract(1, ordering: .sequentiallyConsistent)
            }
        }
        let checkers = try (0..<2).map { index in
            try LinuxIO.Thread(name: "snapshots") { self.takeSnapshots(index) }
        }
        for thread in clients + checkers { thread.join() }
    }

    private func report(_ text: String) {
        violations.withLock { $0.append("\(text), seed \(seed)") }
    }

    // MARK: - Clients

    /// The contents of a page after some changes: zeroes after every fourth, which is a trim or zeroing.
    private static func contents(_ page: Int, after changes: UInt64) -> [UInt64] {
        [UInt64](
            repeating: changes % 4 == 0 ? 0 : changes << 16 | UInt64(page), count: 512)
    }

    private func change(_ index: Int) {
        guard let slot = try? ChangeSlot(disk.pages.versions) else { return report("no slot") }
        var pages = disk.pages
        // One of them is no connection.
        if index != 0 { pages.slot = slot.index }
        var random = SplitMix64(state: seed &+ UInt64(index))
        var counts = [UInt64](repeating: 1, count: Self.pageCount)
        while left.subtract(1, ordering: .relaxed).newValue > 0 {
            let own = Self.pageCount / Self.clientCount
            let start = Int.random(in: 0..<own, using: &random)
            let length = min(own - start, Int.random(in: 1...4, using: &random))
            let range = index * own + start..<index * own + start + length
            // All pages of one operation are changed in the same way.
            let isZeroing = Int.random(in: 0..<4, using: &random) == 0
            for page in range {
                counts[page] += isZeroing ? 4 - counts[page] % 4 : counts[page] % 4 == 3 ? 2 : 1
                begun[page].set(counts[page])
            }
            apply(range, counts, isZeroing, keepSpace: Bool.random(using: &random), pages)
            for page in range { ended[page].set(counts[page]) }
        }
    }

    private func apply(
        _ range: Range<Int>, _ counts: [UInt64], _ isZeroing: Bool, keepSpace: Bool,
        _ pages: DiskPages
    ) {
        let offset = UInt64(range.lowerBound << 12)
        let count = UInt64(range.count << 12)
        if isZeroing {
            _ = pages.writeZeroes(at: offset, count: count, keepSpace: keepSpace)
            return
        }
        guard let target = pages.beginWrite(at: offset, count: count) else {
            return report("no memory")
        }
        for (index, page) in range.enumerated() {
            let words = Self.contents(page, after: counts[page])
            target.slice(at: index << 12, count: 4096).copy(
                from: unsafe words.withUnsafeBytes { unsafe Array($0) })
        }
        pages.endWrite(at: offset, count: count)
    }

    // MARK: - Snapshots

    private func takeSnapshots(_ index: Int) {
        var kept: [(DiskSnapshot, [UInt8])] = []
        var marks: [Mark] = []
        var random = SplitMix64(state: seed &- UInt64(index))
        while running.load(ordering: .sequentiallyConsistent) > 0 {
            let before = ended.map(\.count)
            guard let snapshot = try? disk.makeSnapshot() else { return report("no snapshot") }
            let after = begun.map(\.count)
            snapshots.add(1, ordering: .relaxed)
            guard let bytes = read(snapshot) else { return report("a snapshot cannot be read") }
            for page in 0..<Self.pageCount {
                check(page, Array(bytes[page << 12..<(page + 1) << 12]), before[page]...after[page])
            }
            for mark in marks { check(snapshot, after, shows: bytes, since: mark) }
            marks.append(Mark(marker: snapshot.makeMarker(), before: before, bytes: bytes))
            while marks.count > 3 {
                marks.remove(at: Int.random(in: 0..<marks.count, using: &random))
            }
            kept.append((snapshot, bytes))
            let checked = kept[Int.random(in: 0..<kept.count, using: &random)]
            check(checked.0, shows: checked.1)
            while kept.count > 3 {
                kept.remove(at: Int.random(in: 0..<kept.count, using: &random))
            }
        }
        for (snapshot, bytes) in kept { check(snapshot, shows: bytes) }
    }

    /// A marker, with what its snapshot showed, and the changes that had ended before it was taken.
    private struct Mark {
        let marker: DiskSnapshot.Marker
        let before: [UInt64]
        let bytes: [UInt8]
    }

    /// Checks the changes between a marker and a snapshot: each page that differs is one of them, and no page is whose
    /// last change had ended before the marker.
    private func check(
        _ snapshot: DiskSnapshot, _ after: [UInt64], shows bytes: [UInt8], since mark: Mark
    ) {
        var offset: UInt64 = 0
        while offset < snapshot.size {
            guard let run = try? snapshot.firstRun(of: offset..<snapshot.size, since: mark.marker)
            else { return report("the changes of a snapshot are lost") }
            let end = offset + run.length
            for page in Int(offset >> 12)..<Int(end >> 12) {
                let place = page << 12..<(page + 1) << 12
                if !run.isChanged, bytes[place] != mark.bytes[place] {
                    report("page \(page) has changed and passes for clean")
                }
                if run.isChanged, mark.before[page] == after[page] {
                    report("page \(page) has not changed and passes for dirty")
                }
            }
            offset = end
        }
    }

    private func check(_ snapshot: DiskSnapshot, shows bytes: [UInt8]) {
        guard let now = read(snapshot) else { return report("a snapshot is lost") }
        if now != bytes { report("a snapshot has changed") }
    }

    private func read(_ snapshot: DiskSnapshot) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: Self.pageCount << 12)
        var span = bytes.mutableSpan
        return (try? snapshot.read(at: 0, into: &span)) == nil ? nil : bytes
    }

    private func check(_ page: Int, _ bytes: [UInt8], _ allowed: ClosedRange<UInt64>) {
        let words = unsafe bytes.withUnsafeBytes { unsafe Array($0.bindMemory(to: UInt64.self)) }
        if allowed.lowerBound == allowed.upperBound {
            if words != Self.contents(page, after: allowed.lowerBound) {
                report("page \(page) is not what change \(allowed.lowerBound) left")
            }
            return
        }
        // Several changes were in progress, one after the other, so the page may be torn between them.
        let isAllowed = words.allSatisfy { word in
            if word == 0 { return allowed.lowerBound == 0 || allowed.contains { $0 % 4 == 0 } }
            return word & 0xffff == UInt64(page) && allowed.contains(word >> 16)
        }
        if !isAllowed { report("page \(page) shows none of the changes \(allowed)") }
    }
}
