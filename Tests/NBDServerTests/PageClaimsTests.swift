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
        #expect(disk.pages.readable(at: 0, count: 8192).isZero)
        target.copy(from: [UInt8](repeating: 8, count: 4096))
        disk.pages.endWrite(at: 0, count: 4096)
        #expect(disk.pages.readable(at: 0, count: 1).bytes == [8])
        #expect(disk.residentBytes == 8192)
        disk.pages.trim(at: 0, count: 8 << 20)
        #expect(disk.residentBytes == 0)
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
        claims.beginWriting(all)
        #expect(!claims.beginTaking(5..<6))
        claims.endWriting(all)
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
            claims.beginWriting(0..<300)
            writers.count.add(1, ordering: .sequentiallyConsistent)
            if takers.count.load(ordering: .sequentiallyConsistent) != 0 {
                meetings.count.add(1, ordering: .relaxed)
            }
            writers.count.subtract(1, ordering: .sequentiallyConsistent)
            claims.endWriting(0..<300)
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
