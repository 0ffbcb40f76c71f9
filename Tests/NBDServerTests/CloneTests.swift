import Glibc
import LinuxIO
import NBDProtocol
import Testing

@testable import NBDServer

@Suite("A clone")
struct CloneTests {
    private static let size = 2 << 20

    /// A template whose first megabyte has data, except for one page.
    private func makeTemplate() throws -> (DiskTemplate, [UInt8]) {
        var bytes = (0..<Self.size).map {
            $0 < 1 << 20 ? UInt8(truncatingIfNeeded: $0 >> 12) | 1 : 0
        }
        for index in 8192..<12288 { bytes[index] = 0 }
        return (try Self.template(of: bytes), bytes)
    }

    /// A template with these bytes.
    static func template(of bytes: [UInt8]) throws -> DiskTemplate {
        let disk = try RamDisk(size: UInt64(bytes.count))
        try disk.write(bytes, at: 0)
        return try DiskTemplate.copying(disk.makeSnapshot())
    }

    @Test("begins with its template's contents, and takes no memory")
    func begins() throws {
        let (template, bytes) = try makeTemplate()
        let clone = try RamDisk(cloning: template)
        #expect(try clone.read(at: 0, count: Self.size) == bytes)
        #expect(clone.residentBytes == 0)
        #expect(!clone.isBlank)
    }

    @Test("keeps its changes to itself, and takes memory for them alone")
    func changes() throws {
        let (template, bytes) = try makeTemplate()
        let clones = try (0..<3).map { _ in try RamDisk(cloning: template) }
        var models = clones.map { _ in bytes }
        for (index, clone) in clones.enumerated() {
            // A part of a page with data, of an empty page, and across two pages.
            for (offset, count) in [(5000 * (index + 1), 10), (1 << 20 + index, 3), (20_470, 20)] {
                let written = [UInt8](repeating: UInt8(200 + index), count: count)
                try clone.write(written, at: UInt64(offset))
                models[index].replaceSubrange(offset..<offset + count, with: written)
            }
            clone.pages.trim(at: 40_000, count: 30_000)
            models[index].replaceSubrange(
                40_000..<70_000, with: [UInt8](repeating: 0, count: 30_000))
        }
        for (clone, model) in zip(clones, models) {
            #expect(try clone.read(at: 0, count: Self.size) == model)
            // Four written pages, and the two pages of which a part was trimmed.
            #expect(clone.residentBytes <= 7 << 12)
        }
        #expect(try template.disk.read(at: 0, count: Self.size) == bytes)
    }

    @Test("has its template's pages under a write that its client did not finish")
    func unfinishedWrite() throws {
        let (template, bytes) = try makeTemplate()
        let clone = try RamDisk(cloning: template)
        let target = clone.pages.beginWrite(at: 4096, count: 4096)
        target?.slice(at: 0, count: 1).copy(from: [99])
        clone.pages.endWrite(at: 4096, count: 4096)
        var expected = bytes
        expected[4096] = 99
        #expect(try clone.read(at: 0, count: Self.size) == expected)
    }

    @Test("reads as zeroes where it was trimmed, and takes no memory there")
    func trimmed() throws {
        let (template, _) = try makeTemplate()
        let clone = try RamDisk(cloning: template)
        #expect(clone.pages.trim(at: 0, count: UInt64(Self.size)) == .done)
        #expect(try clone.read(at: 0, count: Self.size).allSatisfy { $0 == 0 })
        #expect(clone.residentBytes == 0)
        #expect(clone.isBlank)
        // What is written then is all that the page has.
        try clone.write([5], at: 4100)
        #expect(try clone.read(at: 4096, count: 8) == [0, 0, 0, 0, 5, 0, 0, 0])
    }

    @Test("reports data where the template has it, in one extent with its own")
    func extents() throws {
        let (template, _) = try makeTemplate()
        let clone = try RamDisk(cloning: template)
        try clone.write([1], at: 16384)
        let first = try clone.firstExtent(of: 0..<UInt64(Self.size))
        #expect(first == Extent(length: 8192, status: .data))
        let hole = try clone.firstExtent(of: 8192..<UInt64(Self.size))
        #expect(hole == Extent(length: 4096, status: .empty))
        let second = try clone.firstExtent(of: 12288..<UInt64(Self.size))
        #expect(second == Extent(length: 1 << 20 - 12288, status: .data))
        let depths = [0, 2, 4, 300].map {
            clone.pages.extent(at: $0 << 12, count: UInt64(Self.size) - $0 << 12, in: 1)
        }
        #expect(depths.map(\.flags) == [2, 0, 1, 0])
        #expect(depths.map(\.length) == [8192, 4096, 4096, (512 - 300) << 12])
    }

    @Test("can have snapshots, which show the template where the clone did")
    func snapshots() throws {
        let (template, bytes) = try makeTemplate()
        let clone = try RamDisk(cloning: template)
        try clone.write([7, 7], at: 4095)
        let before = try clone.read(at: 0, count: Self.size)
        let snapshot = try clone.makeSnapshot()
        clone.pages.trim(at: 0, count: 1 << 19)
        try clone.write([UInt8](repeating: 9, count: 9000), at: 600_000)
        var shown = [UInt8](repeating: 0, count: Self.size)
        var span = shown.mutableSpan
        try snapshot.read(at: 0, into: &span)
        #expect(shown == before)
        try clone.rollBack(to: snapshot)
        #expect(try clone.read(at: 0, count: Self.size) == before)
        #expect(before != bytes)
    }

    @Test("cannot take more memory than all clones of the template may take together")
    func budget() throws {
        let (template, bytes) = try makeTemplate()
        var clones: [RamDisk] = try (0..<2).map { _ in try RamDisk(cloning: template) }
        template.budget.setRoom(4 << 12)
        try clones[0].write([UInt8](repeating: 1, count: 3 << 12), at: 0)
        try clones[1].write([1], at: 0)
        #expect(template.budget.used == 4 << 12)
        #expect(throws: RamDisk.AccessError.self) { try clones[1].write([1], at: 4096) }
        // Nothing has changed by that, and pages that have memory can be written.
        #expect(try clones[1].read(at: 4096, count: 4096) == Array(bytes[4096..<8192]))
        try clones[1].write([2], at: 0)
        clones[0].pages.trim(at: 0, count: 4096)
        try clones[1].write([1], at: 4096)
        #expect(throws: RamDisk.AccessError.self) { try clones[1].write([1], at: 1 << 20) }
        clones.remove(at: 0)
        #expect(template.budget.used == 2 << 12)
        try clones[0].write([1], at: 1 << 20)
    }

    @Test("of a snapshot is a copy, which does not change with the disk nor need the snapshot")
    func ofSnapshot() throws {
        let disk = try RamDisk(size: UInt64(Self.size))
        try disk.write([UInt8](repeating: 3, count: 100_000), at: 50_000)
        let before = try disk.read(at: 0, count: Self.size)
        var snapshot: DiskSnapshot? = try disk.makeSnapshot()
        try disk.write([UInt8](repeating: 4, count: 100_000), at: 60_000)
        let template = try DiskTemplate.copying(#require(snapshot))
        snapshot = nil
        #expect(disk.preservedBytes == 0)
        let clone = try RamDisk(cloning: template)
        #expect(try clone.read(at: 0, count: Self.size) == before)
        // Pages of zeroes are not copied.
        #expect(template.dataBytes <= 26 << 12)
    }

    @Test("of an unchanged clone shares the template, of a changed one it is a copy")
    func ofClone() throws {
        let (template, _) = try makeTemplate()
        let clone = try RamDisk(cloning: template)
        #expect(try DiskTemplate.copying(clone.makeSnapshot()) === template)
        try clone.write([1], at: 0)
        let copy = try DiskTemplate.copying(clone.makeSnapshot())
        #expect(copy !== template)
        #expect(try RamDisk(cloning: copy).read(at: 0, count: 2) == clone.read(at: 0, count: 2))
    }

    @Test("returns its memory, and the template exists until the last of its clones is gone")
    func lifetime() throws {
        let disk = try RamDisk(size: 4 << 30, isSparse: true)
        try disk.write([UInt8](repeating: 1, count: 1 << 20), at: 3 << 30)
        let snapshot = try disk.makeSnapshot()
        weak let observed: DiskTemplate?
        var clones: [RamDisk] = []
        do {
            let template = try DiskTemplate.copying(snapshot)
            observed = template
            for index in 0..<300 {
                let clone = try RamDisk(cloning: template)
                #expect(try clone.read(at: 3 << 30, count: 1) == [1])
                if index % 3 == 0 { try clone.write([2], at: 3 << 30) }
                clones.append(clone)
            }
        }
        #expect(clones.map(\.residentBytes).reduce(0, +) == 100 << 12)
        #expect(observed != nil)
        clones = []
        #expect(observed == nil)
    }
}
