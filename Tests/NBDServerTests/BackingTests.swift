import Glibc
import LinuxIO
import SystemPackage
import Testing

@testable import NBDServer

@Suite("A backing")
struct BackingTests {
    private let location: BackingLocation

    init() {
        let name = "ramdisk-nbd-test-\(UInt64.random(in: 0...(.max)))"
        location = BackingLocation(name: "disk", directory: "/dev/shm/\(name)")
    }

    private func removeDirectory() {
        unsafe unlink(location.path)
        unsafe rmdir(location.directory)
    }

    @Test("has a header whose bytes are as documented")
    func header() throws {
        let header = BackingHeader(
            size: 0x0102_0304_0000, dataOffset: 128 << 20, pageSize: 4096,
            identity: DiskIdentity(high: 0x0102, low: 0x0304))
        let bytes = header.encoded
        #expect(bytes[0..<8] == [0x52, 0x44, 0x4e, 0x42, 0x44, 0x49, 0x53, 0x4b])
        #expect(bytes[8..<16] == [3, 0, 0, 0, 0, 0, 0, 0])
        #expect(bytes[16..<24] == [0, 0, 4, 3, 2, 1, 0, 0])
        #expect(bytes[24..<32] == [0, 0, 0, 8, 0, 0, 0, 0])
        #expect(bytes[32..<40] == [0, 0x10, 0, 0, 0, 0, 0, 0])
        #expect(bytes[40..<56] == [2, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0])
        #expect(bytes.count == 64)
        #expect(try BackingHeader(decoding: bytes + [UInt8](repeating: 0, count: 8)) == header)
    }

    @Test("has a header in which every wrong bit is detected")
    func damagedHeader() throws {
        let good = BackingHeader(
            size: 40 << 20, dataOffset: 2 << 20, pageSize: 4096, identity: .random()
        ).encoded
        for bit in 0..<good.count * 8 {
            var bytes = good + [UInt8](repeating: 0, count: 8)
            bytes[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: BackingHeader.HeaderError.self) { try BackingHeader(decoding: bytes) }
        }
    }

    @Test("cannot have a name that is not a file name")
    func names() {
        for name in ["", ".", "..", ".hidden", "a/b", "/", "a\0b", "a\nb"] {
            #expect(!BackingLocation.isName(name))
            #expect(throws: BackingError.badName(name)) {
                try RamDisk(
                    backing: BackingLocation(name: name, directory: location.directory), size: nil)
            }
        }
        #expect(BackingLocation.isName("disk-1.ext4"))
    }

    @Test("has its name from when it is published until it is removed")
    func publishing() throws {
        defer { removeDirectory() }
        let disk = try RamDisk(backing: location, size: 1 << 20)
        #expect(unsafe access(location.path, F_OK) != 0)
        try disk.publish()
        #expect(unsafe access(location.path, F_OK) == 0)
        disk.remove()
        #expect(unsafe access(location.path, F_OK) != 0)
        // Of two that are made at the same time, the second does not replace or remove the first.
        let other = try RamDisk(backing: location, size: 1 << 20)
        let third = try RamDisk(backing: location, size: 1 << 20)
        try other.publish()
        #expect(throws: BackingError.inUse(path: location.path, pid: nil)) { try third.publish() }
        third.remove()
        #expect(unsafe access(location.path, F_OK) == 0)
    }

    @Test(
        "has its data and its allocation map when it is opened again", arguments: [false, true],
        [false, true])
    func reopening(wasSparse: Bool, isSparse: Bool) throws {
        defer { removeDirectory() }
        let size: UInt64 = 256 << 20
        let written: [UInt64] = [0, 4096, 100 << 20, size - 1]
        try leave(size: size, isSparse: wasSparse, writing: written)
        let disk = try RamDisk(backing: location, size: size, isSparse: isSparse)
        #expect(disk.inheritance == .orphaned)
        let marked = (0..<Int(size >> 12)).filter { disk.pages.map.isMarked($0) }
        // A plain disk's file has no holes, so a sparse disk marks all of it.
        if isSparse, !wasSparse {
            #expect(marked.count == Int(size >> 12))
        } else {
            #expect(marked == written.map { Int($0 >> 12) })
        }
        for offset in written {
            #expect(disk.pages.look(at: offset, count: 1).bytes == [7])
        }
        #expect(disk.pages.look(at: 50 << 20, count: 4096).isZero)
        if isSparse {
            disk.pages.trim(at: 0, count: size)
            #expect(disk.residentBytes == 0)
        } else {
            #expect(disk.residentBytes == size)
        }
    }

    @Test("is new, kept or orphaned")
    func inheritance() throws {
        defer { removeDirectory() }
        do {
            let disk = try RamDisk(backing: location, size: 1 << 20)
            #expect(disk.inheritance == .none)
            try disk.publish()
            disk.keep()
        }
        do {
            let disk = try RamDisk(backing: location, size: nil)
            #expect(disk.inheritance == .kept)
            #expect(disk.size == 1 << 20)
        }
        // The disk before was opened, but not served.
        do {
            let disk = try RamDisk(backing: location, size: nil)
            #expect(disk.inheritance == .kept)
            try disk.publish()
        }
        #expect(try RamDisk(backing: location, size: nil).inheritance == .orphaned)
    }

    @Test("is locked by one disk, and the error names its process")
    func exclusive() throws {
        defer { removeDirectory() }
        let disk = try RamDisk(backing: location, size: 1 << 20)
        try disk.publish()
        #expect(throws: BackingError.inUse(path: location.path, pid: getpid())) {
            try RamDisk(backing: location, size: nil)
        }
        extendLifetime(disk)
    }

    @Test("of another size than wanted is left unchanged")
    func otherSize() throws {
        defer { removeDirectory() }
        try leave(size: 1 << 20, isSparse: true, writing: [0])
        #expect(
            throws: BackingError.otherSize(path: location.path, found: 1 << 20, wanted: 2 << 20)
        ) { try RamDisk(backing: location, size: 2 << 20) }
        let disk = try RamDisk(backing: location, size: nil)
        #expect(disk.pages.look(at: 0, count: 1).bytes == [7])
        extendLifetime(disk)
    }

    /// Leaves a disk as a server that is killed does.
    private func leave(size: UInt64, isSparse: Bool, writing offsets: [UInt64]) throws {
        let disk = try RamDisk(backing: location, size: size, isSparse: isSparse)
        try disk.publish()
        for offset in offsets {
            let target = try #require(disk.pages.beginWrite(at: offset, count: 1))
            target.copy(from: [7])
            disk.pages.endWrite(at: offset, count: 1)
        }
        extendLifetime(disk)
    }
}
