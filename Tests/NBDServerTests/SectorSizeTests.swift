// For which sectors what is on a disk was made.

import LinuxIO
import Testing

@testable import NBDServer

@Suite("The sectors that a disk's content wants")
struct SectorSizeTests {
    @Test("are a page on a blank disk, and 512 bytes on one that holds something")
    func content() throws {
        let disk = try RamDisk(size: 1 << 20)
        #expect(disk.sectorSize == 4096)
        write("x", to: disk, at: 1024)
        #expect(disk.sectorSize == 512)
    }

    @Test(
        "are those that its table of partitions was made for",
        arguments: [(512, 512), (4096, 4096)])
    func partitions(place: Int, sectorSize: Int) throws {
        let disk = try RamDisk(size: 1 << 20)
        write("EFI PART", to: disk, at: UInt64(place))
        #expect(disk.sectorSize == sectorSize)
    }

    @Test("can be told of the smallest disk")
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
