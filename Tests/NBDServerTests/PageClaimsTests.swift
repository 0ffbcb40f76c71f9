// A sparse disk's memory, between those who write and those who give it back.

import Glibc
import LinuxIO
import Synchronization
import Testing

@testable import NBDServer

@Suite("Writing and giving back")
struct PageClaimsTests {
    @Test("memory that a write is about to use stays, and is zero; after the write it can go")
    func writeMeetsTrim() throws {
        let disk = try RamDisk(size: 8 << 20, isSparse: true)
        write(7, to: disk, at: 4096, count: 4096)
        let target = try #require(disk.pages.beginWrite(at: 0, count: 4096))
        disk.pages.trim(at: 0, count: 8 << 20)
        #expect(disk.residentBytes == 8192)
        #expect(disk.pages.look(at: 0, count: 8192).isZero)
        target.copy(from: [UInt8](repeating: 8, count: 4096))
        disk.pages.endWrite(at: 0, count: 4096)
        #expect(disk.pages.look(at: 0, count: 1).bytes == [8])
        #expect(disk.residentBytes == 8192)
        disk.pages.trim(at: 0, count: 8 << 20)
        #expect(disk.residentBytes == 0)
    }

    @Test("memory that a read is going to be sent from stays until it is, and can go then")
    func readMeetsTrim() throws {
        let disk = try RamDisk(size: 8 << 20, isSparse: true)
        write(7, to: disk, at: 0, count: 8192)
        var claims = try ReadClaims(disk.pages.claims)
        let slice = disk.pages.readable(at: 0, count: 1 << 20, claims: &claims)
        #expect(slice.count == 8192)
        #expect(disk.pages.trim(at: 0, count: 8 << 20))
        #expect(disk.residentBytes == 8192)
        #expect(slice.isZero)
        claims.release()
        #expect(disk.pages.trim(at: 0, count: 8 << 20))
        #expect(disk.residentBytes == 0)
        #expect(disk.pages.readable(at: 0, count: 1 << 20, claims: &claims).isZero)
        #expect(disk.residentBytes == 0)
    }

    @Test("a reader that goes away leaves no claim behind, and reading holes makes none")
    func readersEnd() throws {
        let disk = try RamDisk(size: 8 << 20, isSparse: true)
        write(7, to: disk, at: 0, count: 4096)
        do {
            var claims = try ReadClaims(disk.pages.claims)
            _ = disk.pages.readable(at: 4096, count: 1 << 20, claims: &claims)
            #expect(disk.pages.claims.beginTaking(0..<1))
            disk.pages.claims.endTaking(0..<1)
            for _ in 0..<1024 {
                _ = disk.pages.extentToRead(at: 0, count: 1 << 20, claims: &claims)
            }
            #expect(!disk.pages.claims.beginTaking(0..<1))
        }
        #expect(disk.pages.claims.beginTaking(0..<1))
        disk.pages.claims.endTaking(0..<1)
    }

    @Test("a trim of a plain disk zeroes by hand only where somebody else zeroes")
    func zeroedElsewhere() throws {
        let disk = try RamDisk(size: 8 << 20)
        let pages = disk.pages
        // Somebody has cleared the marks of the first megabyte, and is not done.
        pages.region.copy(from: [UInt8](repeating: 7, count: 8 << 20))
        pages.claims.beginZeroing(0..<1)
        #expect(pages.trim(at: 4096, count: (8 << 20) - 4096))
        #expect(pages.region.slice(at: 4096, count: (1 << 20) - 4096).isZero)
        #expect(pages.region.slice(at: 0, count: 4096).bytes.allSatisfy { $0 == 7 })
        #expect(pages.region.suffix(from: 1 << 20).bytes.allSatisfy { $0 == 7 })
        pages.claims.endZeroing(0..<1)
    }

    @Test("a write holds up no trim a megabyte away")
    func farAway() throws {
        let disk = try RamDisk(size: 8 << 20, isSparse: true)
        write(7, to: disk, at: 4 << 20, count: 4096)
        _ = try #require(disk.pages.beginWrite(at: 0, count: 4096))
        disk.pages.trim(at: 4 << 20, count: 4096)
        #expect(disk.residentBytes == 4096)
        disk.pages.endWrite(at: 0, count: 4096)
    }

    @Test("a write that got no memory holds up nothing")
    func refused() throws {
        // In /dev/shm, which has a limit, so that the kernel refuses more than that at once.
        let name = "/dev/shm/ramdisk-nbd-test-\(UInt64.random(in: 0...(.max)))"
        defer { unsafe rmdir(name) }
        let disk = try RamDisk(
            backing: BackingPlace(name: "disk", directory: name), size: 1 << 44, isSparse: true)
        write(7, to: disk, at: 0, count: 4096)
        #expect(!disk.pages.writeZeroes(at: 0, count: 1 << 44, keepSpace: true))
        disk.pages.trim(at: 0, count: 4096)
        #expect(disk.residentBytes == 0)
    }

    @Test("counts of large disks are shared by runs, each once for a range of any length")
    func wholeDisk() throws {
        let memory = try MemoryMapping(privateBytes: PageClaims.byteCount)
        let claims = PageClaims(memory: memory.region)
        let all = 0..<1 << 30
        claims.beginUsing(all)
        #expect(!claims.beginTaking(5..<6))
        claims.endUsing(all)
        #expect(memory.region.isZero)
        #expect(claims.beginTaking(5..<6))
        claims.endTaking(5..<6)
        #expect(memory.region.isZero)
    }

    @Test("who takes away and who writes never do so at once")
    func exclusion() throws {
        let memory = try MemoryMapping(privateBytes: PageClaims.byteCount)
        let claims = PageClaims(memory: memory.region)
        let writers = Shared()
        let takers = Shared()
        let meetings = Shared()
        let thread = try LinuxIO.Thread(name: "taker") {
            for _ in 0..<200_000 where claims.beginTaking(0..<1) {
                takers.count.add(1, ordering: .sequentiallyConsistent)
                if writers.count.load(ordering: .sequentiallyConsistent) != 0 {
                    meetings.count.add(1, ordering: .relaxed)
                }
                takers.count.subtract(1, ordering: .sequentiallyConsistent)
                claims.endTaking(0..<1)
            }
        }
        for _ in 0..<200_000 {
            claims.beginUsing(0..<300)
            writers.count.add(1, ordering: .sequentiallyConsistent)
            if takers.count.load(ordering: .sequentiallyConsistent) != 0 {
                meetings.count.add(1, ordering: .relaxed)
            }
            writers.count.subtract(1, ordering: .sequentiallyConsistent)
            claims.endUsing(0..<300)
        }
        thread.join()
        #expect(meetings.count.load(ordering: .relaxed) == 0)
        #expect(memory.region.isZero)
    }

    private func write(_ byte: UInt8, to disk: RamDisk, at offset: UInt64, count: Int) {
        disk.pages.beginWrite(at: offset, count: UInt64(count))?
            .copy(from: [UInt8](repeating: byte, count: count))
        disk.pages.endWrite(at: offset, count: UInt64(count))
    }
}

/// A number that threads share.
private final class Shared: Sendable {
    let count = Atomic<Int>(0)
}
