import LinuxIO
import Testing

@testable import NBDServer

@Suite("The sector size of a disk's content")
struct SectorSizeTests {
    @Test("is 4096 bytes on a blank disk, and 512 on one with content")
    func content() throws {
        let disk = try RamDisk(size: 1 << 20)
        #expect(disk.sectorSize == 4096)
        write("x", to: disk, at: 1024)
        #expect(disk.sectorSize == 512)
    }

    @Test(
        "is the one that the partition table was made for",
        arguments: [(512, 512), (4096, 4096)])
    func partitions(offset: Int, sectorSize: Int) throws {
        let disk = try RamDisk(size: 1 << 20)
        write("EFI PART", to: disk, at: UInt64(offset))
        #expect(disk.sectorSize == sectorSize)
    }

    @Test("is known for the smallest disk")
    func smallest() throws {
        let disk = try RamDisk(size: 4096)
        write("x", to: disk, at: 0)
        #expect(disk.sectorSize == 512)
    }

    private func write(_ text: String, to disk: RamDisk, at offset: UInt64) {
        let bytes = Array(text.utf8)
        disk.pages.beginWrite(at: offset, count: UInt64(bytes.count))?.copy(from: bytes)
        disk.pages.endWrite(at: offset, count: UInt64(bytes.count))
    }
}
