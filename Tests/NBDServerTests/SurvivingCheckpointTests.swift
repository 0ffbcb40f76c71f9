import Harness
import Foundation
import LinuxIO
import Synchronization
import Testing

@testable import NBDServer

@Suite("Checkpoints of a disk with a backing")
struct SurvivingCheckpointTests {
    private let backings = Backings()

    @Test("whose bitmaps are damaged name no page behind the last one")
    func bitsBehindTheEnd() throws {
        let memory = try MemoryMapping(privateBytes: 4096)
        let header = try MemoryMapping(privateBytes: 4096)
        memory.region.copy(from: [UInt8](repeating: 0xff, count: 32))
        let bitmaps = DirtyBitmaps(
            pageCount: 70, header: header.region,
            memory: memory.region.slice(at: 0, count: DirtyBitmaps.byteCount(of: 70)))
        var pages: [Int] = []
        bitmaps.forEachDirty { pages.append($0) }
        #expect(pages == Array(0..<70))
    }

    @Test("have names that can be stored again, or are damaged")
    func unreadableNames() throws {
        let name = String(repeating: "a", count: CheckpointNames.longestName)
        var bytes = CheckpointNames(aborted: name).encoded
        #expect(try CheckpointNames(decoding: bytes[...]).aborted == name)
        for index in bytes.indices.suffix(CheckpointNames.longestName) { bytes[index] = 0xff }
        bytes.replaceSubrange(
            0..<8, with: BackingHeader.bytes(of: BackingHeader.checksum(bytes[8...])))
        #expect(throws: BackingHeader.HeaderError.damaged) {
            try CheckpointNames(decoding: bytes[...])
        }
    }

    @Test("lose no change when the server is killed after any step of a command")
    func everyStep() throws {
        let location = backings.next()
        let disk = try ModelledDisk(backings.makeDisk(at: location))
        try disk.change(0..<20)
        try disk.create()
        try disk.change([3, 4])
        try disk.commit()
        // What an aborted one leaves behind is in the bitmap that the next one empties.
        try disk.change([5])
        try disk.create()
        try disk.change([6])
        disk.abort()
        let copies = Mutex<[BackingLocation]>([])
        disk.disk.memory.backing?.checkpoints?.afterStep.withLock {
            $0 = { [backings] in copies.withLock { $0.append(backings.copy(location)) } }
        }
        var steps: [Int] = []
        func expect(_ command: () throws -> Void) throws {
            let before = disk.model
            try command()
            let left = copies.withLock { copies in
                defer { copies = [] }
                return copies
            }
            steps.append(left.count)
            for copy in left {
                let found = try ModelledDisk(RamDisk(backing: copy, size: nil))
                try found.expectChanges(since: [before, disk.model])
            }
            try disk.change([7, Int.random(in: 0..<20)])
        }
        try expect { try disk.create() }
        try expect { try disk.commit() }
        try expect { try disk.create() }
        try expect { disk.abort() }
        try expect { try disk.create() }
        try expect { try disk.commit() }
        // Merge, clear, turn, and two for the names; the names and clear.
        #expect(steps == [5, 3, 5, 0, 5, 3])
    }

    @Test(
        "have the pages that changed since the committed one, and no other, in whatever order commands and kills come",
        arguments: [false, true], 0..<8)
    func random(isSparse: Bool, round: UInt64) throws {
        let seed = UInt64.random(in: 0...(.max))
        var random = SplitMix64(state: seed)
        var location = backings.next()
        var disk = try ModelledDisk(backings.makeDisk(at: location, isSparse: isSparse))
        var kills = 0
        for step in 0..<300 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0, 1: try disk.create()
            case 2: try disk.commit()
            case 3: disk.abort()
            case 4: try disk.snapshot()
            case 5:
                location = backings.copy(location)
                let found = try ModelledDisk(
                    RamDisk(backing: location, size: nil, isSparse: isSparse))
                try found.expectExactly(disk.model, "seed \(seed), step \(step)")
                found.model = disk.model
                found.model.open = nil
                try found.disk.publish()
                disk = found
                kills += 1
            default:
                try disk.change([
                    Int.random(in: 0..<ModelledDisk.pageCount, using: &random),
                    Int.random(in: 0..<ModelledDisk.pageCount, using: &random),
                ])
            }
        }
        #expect(kills > 5)
    }

    @Test("have the pages of a write that a kill cuts off", arguments: [false, true])
    func writeInProgress(isSparse: Bool) throws {
        let location = backings.next()
        let disk = try backings.makeDisk(at: location, isSparse: isSparse)
        disk.store(
            CheckpointNames(committed: .init(name: "one", created: 1)),
            committing: try disk.makeCheckpoint())
        let target = try #require(disk.pages.beginWrite(at: 5000, count: 8192))
        target.slice(at: 0, count: 1).copy(from: [1])
        let found = try RamDisk(backing: backings.copy(location), size: nil, isSparse: isSparse)
        #expect(found.foundMarker()?.changedBytes == 3 * 4096)
        disk.pages.endWrite(at: 5000, count: 8192)
    }

    @Test("lose no change of threads that write while checkpoints are made and committed")
    func threads() throws {
        var location = backings.next()
        var disk = try backings.makeDisk(at: location)
        for round in 0..<12 as Range<UInt64> {
            let isOver = Atomic(false)
            let writers = try (0..<3 as Range<UInt64>).map { [disk] index in
                try LinuxIO.Thread(name: "writer") {
                    var random = SplitMix64(state: round * 3 + index)
                    while !isOver.load(ordering: .relaxed) {
                        let page = UInt64.random(
                            in: 0..<UInt64(ModelledDisk.pageCount), using: &random)
                        let byte = UInt8.random(in: 1...255, using: &random)
                        try? disk.write([byte, byte], at: page << 12 + 4095 * (page % 2))
                    }
                }
            }
            // What the disk was at the last committed checkpoint.
            var committed: [UInt8] = []
            for number in 0..<60 {
                let checkpoint = try disk.makeCheckpoint()
                let name = CheckpointNames.Committed(name: "number-\(number)", created: 1)
                // The last one is committed, some before are aborted.
                guard number % 3 != 1 else { continue }
                if number == 59 { committed = try checkpoint.allBytes }
                disk.store(CheckpointNames(committed: name), committing: checkpoint)
            }
            try pause(milliseconds: 2)
            isOver.store(true, ordering: .relaxed)
            for writer in writers { writer.join() }
            location = backings.copy(location)
            let found = try ModelledDisk(RamDisk(backing: location, size: nil))
            try found.expectDirty(where: committed)
            try found.disk.publish()
            disk = found.disk
        }
    }

    @Test("are known to the next server by their names and their time")
    func names() throws {
        let location = backings.next()
        let first = try backings.makeDisk(at: location)
        #expect(first.checkpointNames == CheckpointNames())
        #expect(first.foundMarker() == nil)
        let open = CheckpointNames(aborted: "one")
        first.store(open)
        #expect(try RamDisk(backing: backings.copy(location), size: nil).checkpointNames == open)
        let committed = CheckpointNames(
            committed: .init(name: "one", created: 17.25), aborted: "two")
        first.store(committed, committing: try first.makeCheckpoint())
        let second = try RamDisk(backing: backings.copy(location), size: nil)
        #expect(second.checkpointNames == committed)
        #expect(second.foundMarker()?.changedBytes == 0)
        // Nobody keeps the marker, but changes are recorded as long as the backing has a committed checkpoint.
        try second.write([1], at: 9000)
        #expect(second.foundMarker()?.changedBytes == 4096)
    }

    @Test("end with the server if an earlier version made the backing, whose data stays")
    func earlierVersion() throws {
        let location = backings.next()
        do {
            let disk = try backings.makeDisk(at: location)
            #expect(disk.checkpointsSurvive)
            try disk.write([7], at: 5000)
            disk.store(
                CheckpointNames(committed: .init(name: "one", created: 1)),
                committing: try disk.makeCheckpoint())
            disk.keep()
        }
        let header = try BackingHeader(decoding: backings.header(of: location))
        #expect(header.version == 3)
        try backings.overwrite(
            location,
            with: BackingHeader(
                version: 2, size: header.size, dataOffset: header.dataOffset,
                pageSize: header.pageSize, identity: header.identity
            ).encoded)
        let disk = try RamDisk(backing: location, size: nil)
        #expect(!disk.checkpointsSurvive)
        #expect(disk.checkpointNames == CheckpointNames() && disk.foundMarker() == nil)
        #expect(try disk.read(at: 5000, count: 1) == [7])
        disk.store(CheckpointNames(aborted: "one"), committing: try disk.makeCheckpoint())
        try disk.write([8], at: 0)
    }

    @Test("have bitmaps behind the header, in front of the disk's bytes, up to the last page")
    func place() throws {
        #expect(BackingHeader(size: 32 << 30, pageSize: 4096).dataOffset == 4 << 20)
        #expect(BackingHeader(size: 31 << 30, pageSize: 4096).dataOffset == 2 << 20)
        #expect(BackingHeader(size: 31 << 30, pageSize: 2 << 20).headerCount == 2 << 20)
        let size: UInt64 = 33 << 30 + 5
        let disk = try backings.makeDisk(at: backings.next(), size: size, isSparse: true)
        #expect(disk.residentBytes == 0)
        disk.store(
            CheckpointNames(committed: .init(name: "one", created: 1)),
            committing: try disk.makeCheckpoint())
        for offset in [0, 63 << 12, 64 << 12, size - 1] { try disk.write([1], at: offset) }
        #expect(disk.residentBytes == 4 * 4096)
        var dirty: [Int] = []
        disk.memory.backing?.checkpoints?.bitmaps.forEachDirty { dirty.append($0) }
        #expect(dirty == [0, 63, 64, Int(size >> 12)])
    }

    @Test("have names in which every wrong bit is detected")
    func damagedNames() throws {
        let names = CheckpointNames(
            committed: .init(name: String(repeating: "ä", count: 64), created: 1), aborted: "b")
        let good = names.encoded
        #expect(try CheckpointNames(decoding: good[...]) == names)
        for bit in 0..<good.count * 8 {
            var bytes = good
            bytes[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: BackingHeader.HeaderError.damaged) {
                try CheckpointNames(decoding: bytes[...])
            }
        }
    }
}

/// Backings in a directory of their own, which is removed with the object.
private final class Backings: Sendable {
    private let directory = "/dev/shm/ramdisk-nbd-test-\(UInt64.random(in: 0...(.max)))"
    private let count = Mutex(0)

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// A name that no backing has.
    func next() -> BackingLocation {
        count.withLock { count in
            count += 1
            return BackingLocation(name: "disk-\(count)", directory: directory)
        }
    }

    func makeDisk(
        at location: BackingLocation, size: UInt64 = UInt64(ModelledDisk.pageCount) << 12,
        isSparse: Bool = false
    ) throws -> RamDisk {
        let disk = try RamDisk(backing: location, size: size, isSparse: isSparse)
        try disk.publish()
        return disk
    }

    /// Copies a backing that is in use: the copy is what a kill at this moment leaves.
    func copy(_ location: BackingLocation) -> BackingLocation {
        let copy = next()
        do {
            try FileManager.default.copyItem(atPath: location.path, toPath: copy.path)
        } catch {
            fatalError("cannot copy \(location.path): \(error)")
        }
        return copy
    }

    func header(of location: BackingLocation) throws -> [UInt8] {
        let file = try #require(FileHandle(forReadingAtPath: location.path))
        return Array(try #require(try file.read(upToCount: 4096)))
    }

    func overwrite(_ location: BackingLocation, with bytes: [UInt8]) throws {
        let file = try #require(FileHandle(forWritingAtPath: location.path))
        try file.write(contentsOf: Data(bytes))
    }
}

/// A disk with checkpoints, and what they should be.
private final class ModelledDisk {
    static let pageCount = 300
    let disk: RamDisk
    var model = Model()
    private var checkpoint: DiskSnapshot?
    private var other: DiskSnapshot?

    struct Model {
        /// The value of each page's first byte.
        var contents = [UInt8](repeating: 0, count: pageCount)
        /// The last committed checkpoint: its contents, and the pages that have changed since.
        var committed: (name: String, contents: [UInt8], changed: Set<Int>)?
        var open: (name: String, contents: [UInt8], changed: Set<Int>)?
        var lastName = 0
    }

    init(_ disk: RamDisk) { self.disk = disk }

    /// Writes to pages, or trims them.
    func change(_ pages: some Sequence<Int>) throws {
        for page in pages {
            let value = UInt8.random(in: 0...9)
            // Trimming a page that is empty may or may not count as a change.
            if value == 0, model.contents[page] == 0 { continue }
            if value == 0 {
                disk.pages.trim(at: UInt64(page) << 12, count: 4096)
            } else {
                try disk.write([value], at: UInt64(page) << 12)
            }
            model.contents[page] = value
            model.committed?.changed.insert(page)
            model.open?.changed.insert(page)
        }
    }

    /// Takes a snapshot that is no checkpoint, which begins an epoch.
    func snapshot() throws { other = try disk.makeSnapshot() }

    func create() throws {
        guard model.open == nil else { return }
        model.lastName += 1
        let name = "name-\(model.lastName)"
        model.open = (name, model.contents, [])
        checkpoint = try disk.makeCheckpoint()
        disk.store(CheckpointNames(committed: committedName, aborted: name))
    }

    func commit() throws {
        guard let open = model.open, let snapshot = checkpoint.take() else { return }
        model.committed = open
        model.open = nil
        disk.store(CheckpointNames(committed: committedName), committing: snapshot)
    }

    func abort() {
        model.open = nil
        checkpoint = nil
    }

    private var committedName: CheckpointNames.Committed? {
        model.committed.map { .init(name: $0.name, created: 1) }
    }

    /// The pages that have changed, to a disk that was just opened, since the committed checkpoint.
    private func dirtyPages() throws -> Set<Int>? {
        guard let marker = disk.foundMarker() else { return nil }
        let snapshot = try disk.makeSnapshot()
        var pages: Set<Int> = []
        var offset: UInt64 = 0
        while let range = snapshot.nextChange(since: marker, from: offset) {
            pages.formUnion(Int(range.lowerBound >> 12)..<Int(range.upperBound >> 12))
            offset = range.upperBound
        }
        return pages
    }

    /// Expects that every page that differs from earlier contents is dirty.
    func expectDirty(where earlier: [UInt8]) throws {
        let dirty = try #require(try dirtyPages())
        let now = try disk.read(at: 0, count: Int(disk.size))
        let missed = (0..<Self.pageCount).filter { page in
            let range = page << 12..<(page + 1) << 12
            return !dirty.contains(page) && now[range] != earlier[range]
        }
        #expect(missed.isEmpty)
    }

    /// Expects that one of several models has the committed checkpoint, and that every page that differs from it is
    /// dirty.
    func expectChanges(since models: [Model]) throws {
        let name = disk.checkpointNames.committed?.name
        let model = try #require(models.last { $0.committed?.name == name })
        let dirty = try dirtyPages()
        guard let committed = model.committed else {
            #expect(dirty == nil)
            return
        }
        let differing = (0..<Self.pageCount).filter {
            model.contents[$0] != committed.contents[$0]
        }
        #expect(dirty?.isSuperset(of: differing) == true)
        #expect(dirty?.isSuperset(of: committed.changed) == true)
    }

    /// Expects a model's committed checkpoint, and that the pages that have changed since are dirty and no others.
    func expectExactly(_ model: Model, _ comment: Comment) throws {
        let names = disk.checkpointNames
        #expect(names.committed?.name == model.committed?.name, comment)
        #expect(model.open == nil || names.aborted == model.open?.name, comment)
        #expect(try dirtyPages() == model.committed?.changed, comment)
        for page in 0..<Self.pageCount {
            let byte = try disk.read(at: UInt64(page) << 12, count: 1)
            #expect(byte == [model.contents[page]], comment)
        }
    }
}

extension DiskSnapshot {
    fileprivate var allBytes: [UInt8] {
        get throws {
            var bytes = [UInt8](repeating: 0, count: Int(size))
            var span = bytes.mutableSpan
            try read(at: 0, into: &span)
            return bytes
        }
    }
}
