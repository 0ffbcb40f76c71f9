import Glibc
import LinuxHost
import LinuxIO
import NBDServer
import Synchronization
import SystemPackage
import Testing

@testable import DiskImages

/// Restores while the disk is in use. `LateContentsTests` has what clients see meanwhile.
@Suite("An image that is restored while its disk is served")
struct RestorationTests {
    private static let piece = 1 << 20
    private let size = UInt64(6 * piece)

    /// Saves a disk with data at the start of some pieces.
    private func save(to fixture: borrowing Fixture) throws -> Contents {
        let disk = try RamDisk(size: size, isSparse: true)
        for piece in [0, 1, 2, 4] { _ = try disk.fill([piece * 256, piece * 256 + 9], with: 7) }
        _ = try DiskImage(path: fixture.path).save(disk)
        return try disk.bytes
    }

    private func lateDisk(isSparse: Bool = false, size: UInt64? = nil) throws -> RamDisk {
        try RamDisk(filledLate: size ?? self.size, isSparse: isSparse)
    }

    /// Writes bytes to the file as another program does.
    private func edit(_ path: String, at offset: UInt64, _ bytes: [UInt8]) throws {
        let memory = try MemoryMapping(privateBytes: bytes.count)
        memory.region.copy(from: bytes)
        try DurableFile(updating: path).write(
            memory.region.slice(at: 0, count: bytes.count), at: offset)
    }

    @Test("is all on the disk in the end, with its holes", arguments: [false, true])
    func complete(isSparse: Bool) throws {
        let fixture = try Fixture()
        let saved = try save(to: fixture)
        let image = try DiskImage(path: fixture.path)
        let disk = try lateDisk(isSparse: isSparse)
        let events = RestoreEvents()
        let restoration = try #require(try image.beginRestore(to: disk) { events.add($0) })
        try restoration.wait()
        #expect(restoration.isComplete && restoration.failure == nil && !disk.isPending)
        #expect(try disk.bytes == saved)
        #expect(events.all.last == .complete && events.failures == [])
        let progress = restoration.progress
        #expect(progress.bytesDone == progress.bytesTotal && progress.bytesTotal > 0)
        if isSparse { #expect(disk.residentBytes == 8 * 4096) }
    }

    @Test("is followed by a save that writes only what has changed since the start")
    func incremental() throws {
        let fixture = try Fixture()
        _ = try save(to: fixture)
        let image = try DiskImage(path: fixture.path)
        let disk = try lateDisk()
        let marker = try disk.makeSnapshot().makeMarker()
        let restoration = try #require(try image.beginRestore(to: disk) { _ in })
        try disk.write([1, 2, 3], at: size - 3)
        try restoration.wait()
        let snapshot = try disk.makeSnapshot()
        var changes: [Range<UInt64>] = []
        while let change = snapshot.nextChange(since: marker, from: changes.last?.upperBound ?? 0) {
            changes.append(change)
        }
        let result = try image.save(snapshot, changes: changes)
        #expect(result.kind == .incremental && result.imageBytes == 4096)
        #expect(try contents(of: fixture.path) == disk.bytes)
    }

    @Test("may be smaller than the disk, and end inside a page")
    func smaller() throws {
        let fixture = try Fixture()
        let bytes = [UInt8](repeating: 5, count: 3 * Self.piece + 1234)
        try replace(fixture.path, with: bytes)
        let disk = try lateDisk(size: 9 << 20)
        let image = try DiskImage(path: fixture.path)
        try #require(try image.beginRestore(to: disk) { _ in }).wait()
        var expected = [UInt8](repeating: 0, count: 9 << 20)
        expected.replaceSubrange(0..<bytes.count, with: bytes)
        #expect(try disk.bytes == Contents(expected))
        #expect(
            throws: DiskImageError.tooLarge(
                path: fixture.path, size: UInt64(bytes.count), diskSize: 4096)
        ) {
            _ = try image.beginRestore(to: lateDisk(size: 4096)) { _ in }
        }
        #expect(
            try DiskImage(path: "\(fixture.path).none").beginRestore(to: lateDisk()) { _ in } == nil
        )
    }

    @Test(
        "gives no wrong byte of a damaged piece: that one fails, others do not, until it is repaired"
    )
    func damage() throws {
        let fixture = try Fixture()
        let saved = try save(to: fixture)
        try edit(fixture.path, at: UInt64(Self.piece + 100), [8])
        let image = try DiskImage(path: fixture.path)
        let disk = try lateDisk()
        let events = RestoreEvents()
        let restoration = try #require(try image.beginRestore(to: disk) { events.add($0) })
        let reason =
            "\(DiskImageError.changedContents(path: fixture.path, offset: UInt64(Self.piece)))"
        #expect(throws: DiskImageError.notRestored(path: fixture.path, reason: reason)) {
            try restoration.wait()
        }
        #expect(restoration.failure == reason && disk.isPending)
        for _ in 0..<2 {
            #expect(throws: RamDisk.AccessError.unavailable(reason)) {
                try disk.read(at: UInt64(2 * Self.piece - 1), count: 1)
            }
        }
        for piece in [0, 2, 3, 4, 5] {
            let start = piece * Self.piece
            #expect(
                try disk.read(at: UInt64(start), count: Self.piece)
                    == Array(saved.bytes[start..<start + Self.piece]))
        }
        #expect(throws: SnapshotError.contentsMissing) { try disk.makeSnapshot() }
        try edit(fixture.path, at: UInt64(Self.piece + 100), [7])
        for _ in 0..<500 where restoration.failure != nil { Thread.sleep(milliseconds: 20) }
        try restoration.wait()
        #expect(try disk.bytes == saved)
        #expect(events.failures == [reason] && events.all.last == .complete)
    }

    @Test("that is cut short, or cannot be read, fails for what is missing")
    func truncated() throws {
        let fixture = try Fixture()
        let saved = try save(to: fixture)
        let image = try DiskImage(path: fixture.path)
        let disk = try lateDisk()
        // Before the threads come to it: the source is used as the restore uses it.
        let status = try #require(try FileStatus.of(fixture.path))
        let state = try #require(try ImageFiles(path: fixture.path).state(in: .state))
        let source = try ImageFetcher(
            ImageFiles(path: fixture.path), state: state, status: status, dataBytes: size)
        let contents = try #require(disk.lateContents)
        contents.begin(with: source)
        try contents.fetch(0, to: disk)
        try DurableFile(updating: fixture.path).resize(to: UInt64(2 * Self.piece + 100))
        try contents.fetch(1, to: disk)
        for piece in [2, 4] {
            #expect(throws: BlockStoreError.self) { try contents.fetch(piece, to: disk) }
        }
        #expect(
            try disk.read(at: 0, count: 2 * Self.piece) == Array(saved.bytes[0..<2 * Self.piece]))
        #expect(throws: RamDisk.AccessError.self) {
            try disk.read(at: UInt64(4 * Self.piece), count: 1)
        }
        _ = image
    }

    @Test(
        "without checksums fails when another program writes to it meanwhile, and not for a new mode"
    )
    func changedMeanwhile() throws {
        let fixture = try Fixture()
        try replace(fixture.path, with: [UInt8](repeating: 5, count: 3 * Self.piece))
        let status = try #require(try FileStatus.of(fixture.path))
        let source = try ImageFetcher(
            ImageFiles(path: fixture.path), state: nil, status: status, dataBytes: size)
        let disk = try lateDisk()
        let contents = try #require(disk.lateContents)
        contents.begin(with: source)
        try contents.fetch(0, to: disk)
        #expect(unsafe chmod(fixture.path, 0o640) == 0)
        try contents.fetch(1, to: disk)
        // The clock of the file system may stand still for some milliseconds.
        Thread.sleep(milliseconds: 50)
        try edit(fixture.path, at: 0, [6])
        let error = BlockStoreError.inputOutput(
            "\(DiskImageError.changedDuringRestore(path: fixture.path))")
        #expect(throws: error) { try contents.fetch(2, to: disk) }
        #expect(try disk.read(at: 0, count: 1) == [5])
    }
}

/// What a restore has reported.
private final class RestoreEvents: Sendable {
    private let events = Mutex<[Restoration.Event]>([])

    func add(_ event: Restoration.Event) { events.withLock { $0.append(event) } }

    var all: [Restoration.Event] { events.withLock { $0 } }
    var failures: [String] {
        all.compactMap { if case .failed(let reason) = $0 { reason } else { nil } }
    }
}
