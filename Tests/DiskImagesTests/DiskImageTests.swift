import Glibc
import LinuxHost
import LinuxIO
import NBDServer
import Synchronization
import SystemPackage
import Testing

@testable import DiskImages

@Suite("A disk image")
struct DiskImageTests {
    /// The end is inside a page, and inside a chunk.
    private let size: UInt64 = 3 << 20 + 10_000

    @Test("is the disk byte by byte, and restores it", arguments: ["/dev/shm", "/tmp"])
    func fullSave(parent: String) throws {
        let fixture = try Fixture(in: parent)
        let disk = try RamDisk(size: size, isSparse: true)
        _ = try disk.fill([0, 1, 300, 511], with: 7)
        try disk.write([1, 2, 3], at: size - 3)
        let image = try DiskImage(path: fixture.path)
        #expect(image.info == nil)
        let result = try image.save(disk)
        #expect(result.kind == .full)
        #expect(result.generation == 1)
        #expect(try contents(of: fixture.path) == disk.bytes)
        // The last page has 10000 - 8192 bytes.
        #expect(result.imageBytes == 4 * 4096 + 1808)
        #expect(try dataBytes(of: fixture.path) <= 5 * 4096)
        #expect(fixture.names == Fixture.cleanNames)
        let info = try #require(image.info)
        #expect(info.size == size)
        #expect(abs(time(nil) - Int(info.savedAt ?? 0)) < 60)
        _ = consume image
        #expect(try fixture.restored(size: size) == disk.bytes)
    }

    @Test("is restored to a sparse disk without memory for its holes")
    func holes() throws {
        let fixture = try Fixture()
        let disk = try RamDisk(size: 64 << 20, isSparse: true)
        _ = try disk.fill([5, 9000], with: 1)
        // Allocated, and zero.
        _ = try disk.fill([6, 7], with: 0)
        do { _ = try DiskImage(path: fixture.path).save(disk) }
        let restored = try RamDisk(size: 64 << 20, isSparse: true)
        #expect(try DiskImage(path: fixture.path).restore(into: restored)?.generation == 1)
        #expect(restored.residentBytes == 2 * 4096)
        #expect(try restored.bytes == disk.bytes)
    }

    @Test("takes the changes of an incremental save, and holes for pages that became zero")
    func incremental() throws {
        let fixture = try Fixture()
        let disk = try RamDisk(size: size, isSparse: true)
        _ = try disk.fill(Array(0..<700), with: 1)
        let image = try DiskImage(path: fixture.path)
        _ = try image.save(disk)
        var changes = try disk.fill([3, 255, 256, 600, 750], with: 9)
        changes.append(try disk.clear(100 * 4096..<200 * 4096))
        try disk.write([5], at: size - 1)
        changes.append(size - 1..<size)
        let result = try image.save(disk, changes: changes)
        #expect(result.kind == .incremental)
        #expect(result.generation == 2)
        #expect(result.imageBytes == 5 * 4096 + 1808)
        #expect(try contents(of: fixture.path) == disk.bytes)
        #expect(try dataBytes(of: fixture.path) == 601 * 4096 + 1808)
        #expect(fixture.names == Fixture.cleanNames)
        _ = consume image
        #expect(try fixture.restored(size: size) == disk.bytes)
    }

    @Test("is written no more than the data, or the changes, require")
    func writtenBytes() throws {
        let fixture = try Fixture()
        let disk = try RamDisk(size: 256 << 20, isSparse: true)
        _ = try disk.fill(Array(0..<2048), with: 3)
        let image = try DiskImage(path: fixture.path)
        let full = try image.save(disk)
        #expect(full.imageBytes == 8 << 20)
        #expect(full.sideBytes < 1000)
        let scattered = (0..<128).map { $0 * 16 }
        let changes = try disk.fill(scattered, with: 4)
        let result = try image.save(disk, changes: changes.shuffled())
        #expect(result.kind == .incremental)
        #expect(result.imageBytes == 128 * 4096)
        // The journal has the pages and 32 bytes for each; it and the state have the checksums.
        #expect(result.sideBytes < 128 * (4096 + 32) + 1000)
        #expect(try contents(of: fixture.path) == disk.bytes)
    }

    @Test("is saved in full when most of it has changed, and not at all when nothing has")
    func choice() throws {
        let fixture = try Fixture()
        let disk = try RamDisk(size: size, isSparse: true)
        _ = try disk.fill(Array(0..<10), with: 3)
        let image = try DiskImage(path: fixture.path)
        // This object does not know what the image holds.
        #expect(try image.save(disk, changes: []).kind == .full)
        #expect(try image.save(disk, changes: []).kind == .unchanged)
        #expect(try image.save(disk, changes: []).generation == 1)
        let five = try disk.fill(Array(0..<5), with: 4)
        #expect(try image.save(disk, changes: five).kind == .incremental)
        let six = try disk.fill(Array(0..<6), with: 5)
        #expect(try image.save(disk, changes: six).kind == .full)
        #expect(try image.save(disk).generation == 4)
        #expect(try contents(of: fixture.path) == disk.bytes)
    }

    @Test("takes incremental saves after it was restored")
    func restoredBefore() throws {
        let fixture = try Fixture()
        let disk = try RamDisk(size: size)
        _ = try disk.fill(Array(0..<100), with: 3)
        do { _ = try DiskImage(path: fixture.path).save(disk) }
        let image = try DiskImage(path: fixture.path)
        let restored = try RamDisk(size: size)
        _ = try image.restore(into: restored)
        let changes = try restored.fill([50], with: 8)
        let result = try image.save(restored, changes: changes)
        #expect(result.kind == .incremental)
        #expect(result.generation == 2)
        #expect(try contents(of: fixture.path) == restored.bytes)
    }

    @Test("is replaced in full when another program has written to it since the last save")
    func foreignWrite() throws {
        let fixture = try Fixture()
        let disk = try RamDisk(size: size, isSparse: true)
        _ = try disk.fill(Array(0..<100), with: 3)
        let image = try DiskImage(path: fixture.path)
        _ = try image.save(disk)
        // The kernel's clock for files moves every few milliseconds.
        Thread.sleep(milliseconds: 20)
        let other = try DurableFile(updating: fixture.path)
        let zeroes = try MemoryMapping(privateBytes: 4096)
        try other.write(zeroes.region, at: 0)
        let changes = try disk.fill([50], with: 8)
        #expect(try image.save(disk, changes: changes).kind == .full)
        #expect(try contents(of: fixture.path) == disk.bytes)
    }

    @Test("keeps its permissions when it is replaced, and is private when it is new")
    func permissions() throws {
        let fixture = try Fixture()
        let disk = try RamDisk(size: 1 << 20)
        let image = try DiskImage(path: fixture.path)
        _ = try image.save(disk)
        #expect(try FileStatus.of(fixture.path)?.permissions == 0o600)
        #expect(unsafe chmod(fixture.path, 0o640) == 0)
        _ = try image.save(disk)
        #expect(try FileStatus.of(fixture.path)?.permissions == 0o640)
    }

    @Test("that another program made is generation 0, and may be smaller than the disk")
    func foreignImage() throws {
        let fixture = try Fixture()
        var bytes = [UInt8](repeating: 0, count: 10_000)
        bytes[9999] = 4
        try replace(fixture.path, with: bytes)
        let image = try DiskImage(path: fixture.path)
        #expect(image.info == ImageInfo(size: 10_000, generation: 0, savedAt: nil))
        let disk = try RamDisk(size: size)
        #expect(try image.restore(into: disk)?.generation == 0)
        let zeroes = [UInt8](repeating: 0, count: Int(size) - 10_000)
        #expect(try disk.bytes == Contents(bytes + zeroes))
        #expect(try image.save(disk, changes: []).kind == .full)
        _ = consume image
        #expect(try fixture.restored(size: size) == disk.bytes)
    }

    @Test("that is larger than the disk is not restored")
    func tooLarge() throws {
        let fixture = try Fixture()
        do { _ = try DiskImage(path: fixture.path).save(RamDisk(size: size)) }
        let error = DiskImageError.tooLarge(path: fixture.path, size: size, diskSize: 1 << 20)
        #expect(throws: error) {
            try DiskImage(path: fixture.path).restore(into: RamDisk(size: 1 << 20))
        }
    }

    @Test("that does not exist restores nothing")
    func missing() throws {
        let fixture = try Fixture()
        #expect(try fixture.restored(size: size) == nil)
        #expect(fixture.names == [])
    }

    @Test("is locked, and the error names the process")
    func lock() throws {
        let fixture = try Fixture()
        do {
            let image = try DiskImage(path: fixture.path)
            // The lock stays when the image is replaced.
            _ = try image.save(RamDisk(size: size))
            let error = DiskImageError.inUse(path: fixture.path, pid: CurrentProcess.pid)
            #expect(throws: error) { try DiskImage(path: fixture.path) }
            #expect("\(error)".contains("pid \(CurrentProcess.pid)"))
            withExtendedLifetime(image) {}
        }
        #expect(Directory.names(in: fixture.directory) == Fixture.cleanNames)
        #expect(throws: Never.self) { try DiskImage(path: fixture.path) }
    }

    @Test("reports its progress, and stops when it is cancelled")
    func progress() throws {
        let fixture = try Fixture()
        let disk = try RamDisk(size: size, isSparse: true)
        _ = try disk.fill(Array(0..<600), with: 3)
        let image = try DiskImage(path: fixture.path)
        var reports: [TransferProgress] = []
        _ = try image.save(disk, progress: { reports.append($0) })
        #expect(reports.map(\.bytesDone) == [1 << 20, 2 << 20, 600 * 4096])
        #expect(reports.allSatisfy { $0.bytesTotal == 600 * 4096 })
        let before = try disk.bytes
        let changes = try disk.fill([0, 300], with: 4)
        for changes in [nil, changes] {
            var questions = 0
            #expect(throws: DiskImageError.cancelled) {
                try image.save(
                    disk, changes: changes,
                    isCancelled: {
                        questions += 1
                        return questions == 2
                    })
            }
            #expect(fixture.names == Fixture.cleanNames)
            #expect(try contents(of: fixture.path) == before)
        }
        #expect(try image.save(disk, changes: changes).kind == .incremental)
        _ = consume image
        reports = []
        let restored = try RamDisk(size: size)
        let again = try DiskImage(path: fixture.path)
        _ = try again.restore(into: restored, progress: { reports.append($0) })
        #expect(reports.last == TransferProgress(bytesDone: 3 << 20, bytesTotal: 3 << 20))
        #expect(throws: DiskImageError.cancelled) {
            try again.restore(into: RamDisk(size: size), isCancelled: { true })
        }
    }

    @Test("is read by other programs", .enabled(if: Program.exists("qemu-img")))
    func otherPrograms() throws {
        let fixture = try Fixture()
        let disk = try RamDisk(size: 4 << 20, isSparse: true)
        _ = try disk.fill([0, 1, 300, 511], with: 7)
        do { _ = try DiskImage(path: fixture.path).save(disk) }
        let copy = fixture.directory + "/copy"
        let arguments = ["convert", "-f", "raw", "-O", "raw", fixture.path, copy]
        _ = try ChildProcess.run("qemu-img", arguments)
        #expect(try contents(of: copy) == disk.bytes)
    }
}

@Suite("Pages that changes touch")
struct PageRangesTests {
    @Test("are sorted, merged and inside the disk")
    func merging() {
        let changes: [Range<UInt64>] = [
            9000..<9001, 0..<1, 4095..<4097, 50_000..<99_999, 16384..<16384, 12288..<16384,
        ]
        let pages = PageRanges(touchedBy: changes, size: 60_000)
        #expect(pages.ranges == [0..<4, 12..<15])
        #expect(pages.byteCount == 7 * 4096)
    }

    @Test("are grouped by chunks")
    func chunks() {
        let pages = PageRanges(
            touchedBy: [4096..<8192, 1 << 20 - 1..<3 << 20 + 1], size: 8 << 20)
        let chunks = Array(pages.chunks)
        #expect(chunks.map(\.chunk) == [0, 1, 2, 3])
        #expect(chunks.map(\.pages) == [[1..<2, 255..<256], [0..<256], [0..<256], [0..<1]])
    }
}

@Suite("The checksum")
struct ChecksumTests {
    @Test("is XXH64")
    func vectors() {
        #expect(Checksum.of([]) == 0xEF46_DB37_51D8_E999)
        #expect(Checksum.of(Array("a".utf8)) == 0xD24E_C4F1_A98C_6E5B)
        #expect(Checksum.of(Array("abc".utf8)) == 0x44BC_2CF5_AD77_0999)
        let long = Array("Nobody inspects the spammish repetition".utf8)
        #expect(Checksum.of(long) == 0xFBCE_A83C_8A37_8BF1)
    }
}
