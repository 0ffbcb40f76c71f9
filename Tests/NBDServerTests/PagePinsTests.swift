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
        var claims = try ReadPins(disk.pages.claims)
        let slice = disk.pages.readable(at: 0, count: 1 << 20, claims: &claims)
        #expect(slice.count == 8192)
        #expect(disk.pages.trim(at: 0, count: 8 << 20) == .done)
        #expect(disk.residentBytes == 8192)
        #expect(slice.isZero)
        claims.release()
        #expect(disk.pages.trim(at: 0, count: 8 << 20) == .done)
        #expect(disk.residentBytes == 0)
        #expect(disk.pages.readable(at: 0, count: 1 << 20, claims: &claims).isZero)
        #expect(disk.residentBytes == 0)
    }

    @Test("a reader that goes away leaves no claim behind, and reading holes makes none")
    func readersEnd() throws {
        let disk = try RamDisk(size: 8 << 20, isSparse: true)
        write(7, to: disk, at: 0, count: 4096)
        do {
            var claims = try ReadPins(disk.pages.claims)
            _ = disk.pages.readable(at: 4096, count: 1 << 20, claims: &claims)
            #expect(disk.pages.claims.tryBeginRelease(0..<1))
            disk.pages.claims.endRelease(0..<1)
            for _ in 0..<1024 {
                _ = disk.pages.extentToRead(at: 0, count: 1 << 20, claims: &claims)
            }
            #expect(!disk.pages.claims.tryBeginRelease(0..<1))
        }
        #expect(disk.pages.claims.tryBeginRelease(0..<1))
        disk.pages.claims.endRelease(0..<1)
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
            backing: BackingLocation(name: "disk", directory: name), size: 1 << 44, isSparse: true)
        write(7, to: disk, at: 0, count: 4096)
        #expect(disk.pages.writeZeroes(at: 0, count: 1 << 44, keepSpace: true) == .noMemory)
        disk.pages.trim(at: 0, count: 4096)
        #expect(disk.residentBytes == 0)
    }

    @Test("on a large disk, too, runs that a request does not touch are not counted")
    func largeDisk() throws {
        let disk = try RamDisk(size: 1 << 40, isSparse: true)
        for gibibyte in 1...40 as ClosedRange<UInt64> {
            write(7, to: disk, at: gibibyte << 30, count: 4096)
        }
        _ = try #require(disk.pages.beginWrite(at: 0, count: 1 << 20))
        var claims = try ReadPins(disk.pages.claims)
        _ = disk.pages.readable(at: 40 << 30, count: 4096, claims: &claims)
        #expect(disk.pages.trim(at: 1 << 30, count: 39 << 30) == .done)
        #expect(disk.residentBytes == 1 << 20 + 4096)
        claims.release()
        disk.pages.endWrite(at: 0, count: 1 << 20)
    }

    @Test("a range of any length counts in each of its runs")
    func wholeDisk() throws {
        let pageCount = 1 << 24
        let memory = try MemoryMapping(privateBytes: PagePins.byteCount(of: pageCount))
        let claims = PagePins(pageCount: pageCount, memory: memory.region)
        claims.pin(0..<pageCount)
        #expect(!claims.tryBeginRelease(5..<6))
        #expect(!claims.tryBeginRelease(pageCount - 1..<pageCount))
        claims.unpin(0..<pageCount)
        #expect(memory.region.isZero)
        #expect(claims.tryBeginRelease(5..<6))
        claims.endRelease(5..<6)
        #expect(memory.region.isZero)
    }

    @Test("a thread that waits for another to take memory, or to give it back, sleeps")
    func waitingSleeps() throws {
        let memory = try MemoryMapping(privateBytes: PagePins.byteCount(of: 256))
        let claims = PagePins(pageCount: 256, memory: memory.region)
        let works: [(@Sendable () -> Void, () -> Void)] = [
            (
                {
                    claims.beginProvisioning()
                    claims.endProvisioning()
                }, { claims.endProvisioning() }
            ),
            (
                {
                    claims.pin(0..<1)
                    claims.unpin(0..<1)
                }, { claims.endRelease(0..<1) }
            ),
            ({ claims.waitForTakers(of: 0..<256) }, { claims.endRelease(0..<1) }),
        ]
        for (index, (wait, release)) in works.enumerated() {
            if index == 0 {
                claims.beginProvisioning()
            } else {
                #expect(claims.tryBeginRelease(0..<1))
            }
            let spent = Shared()
            let thread = try LinuxIO.Thread(name: "waiter") {
                let start = processorNanoseconds()
                wait()
                spent.count.store(processorNanoseconds() - start, ordering: .relaxed)
            }
            Thread.sleep(milliseconds: 500)
            release()
            thread.join()
            #expect(spent.count.load(ordering: .relaxed) < 50_000_000)
            #expect(memory.region.isZero)
        }
    }

    @Test("one of many takes memory at a time, and none of them is left asleep")
    func provisioningExclusion() throws {
        let memory = try MemoryMapping(privateBytes: PagePins.byteCount(of: 1))
        let claims = PagePins(pageCount: 1, memory: memory.region)
        let inside = Shared()
        let meetings = Shared()
        let threads = try (0..<4).map { _ in
            try LinuxIO.Thread(name: "taker") {
                for _ in 0..<20_000 {
                    claims.beginProvisioning()
                    if inside.count.add(1, ordering: .sequentiallyConsistent).oldValue != 0 {
                        meetings.count.add(1, ordering: .relaxed)
                    }
                    inside.count.subtract(1, ordering: .sequentiallyConsistent)
                    claims.endProvisioning()
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(meetings.count.load(ordering: .relaxed) == 0)
        #expect(memory.region.isZero)
    }

    @Test("who takes away and who writes never do so at once")
    func exclusion() throws {
        let memory = try MemoryMapping(privateBytes: PagePins.byteCount(of: 512))
        let claims = PagePins(pageCount: 512, memory: memory.region)
        let writers = Shared()
        let takers = Shared()
        let meetings = Shared()
        let thread = try LinuxIO.Thread(name: "taker") {
            for _ in 0..<200_000 where claims.tryBeginRelease(0..<1) {
                takers.count.add(1, ordering: .sequentiallyConsistent)
                if writers.count.load(ordering: .sequentiallyConsistent) != 0 {
                    meetings.count.add(1, ordering: .relaxed)
                }
                takers.count.subtract(1, ordering: .sequentiallyConsistent)
                claims.endRelease(0..<1)
            }
        }
        for _ in 0..<200_000 {
            claims.pin(0..<300)
            writers.count.add(1, ordering: .sequentiallyConsistent)
            if takers.count.load(ordering: .sequentiallyConsistent) != 0 {
                meetings.count.add(1, ordering: .relaxed)
            }
            writers.count.subtract(1, ordering: .sequentiallyConsistent)
            claims.unpin(0..<300)
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

/// Time for which the thread has had a processor.
private func processorNanoseconds() -> Int {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
