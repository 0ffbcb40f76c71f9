import Glibc
import LinuxIO
import Synchronization
import Testing

@testable import NBDServer

@Suite("The pins of a sparse disk's pages")
struct PagePinsTests {
    @Test("a trim zeroes memory that a write has pinned, and releases it only after the write")
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

    @Test("a trim zeroes memory that a read has pinned, and releases it only after the send")
    func readMeetsTrim() throws {
        let disk = try RamDisk(size: 8 << 20, isSparse: true)
        write(7, to: disk, at: 0, count: 8192)
        var pins = try ReadPins(disk.pages.pins)
        let slice = disk.pages.readable(at: 0, count: 1 << 20, pins: &pins)
        #expect(slice.count == 8192)
        #expect(disk.pages.trim(at: 0, count: 8 << 20) == .done)
        #expect(disk.residentBytes == 8192)
        #expect(slice.isZero)
        pins.unpinAll()
        #expect(disk.pages.trim(at: 0, count: 8 << 20) == .done)
        #expect(disk.residentBytes == 0)
        #expect(disk.pages.readable(at: 0, count: 1 << 20, pins: &pins).isZero)
        #expect(disk.residentBytes == 0)
    }

    @Test("a reader that ends leaves no pin behind, and reading holes adds none")
    func readersEnd() throws {
        let disk = try RamDisk(size: 8 << 20, isSparse: true)
        write(7, to: disk, at: 0, count: 4096)
        do {
            var pins = try ReadPins(disk.pages.pins)
            _ = disk.pages.readable(at: 4096, count: 1 << 20, pins: &pins)
            #expect(disk.pages.pins.tryBeginRelease(0..<1))
            disk.pages.pins.endRelease(0..<1)
            for _ in 0..<1024 {
                _ = disk.pages.extentToRead(at: 0, count: 1 << 20, pins: &pins)
            }
            #expect(!disk.pages.pins.tryBeginRelease(0..<1))
        }
        #expect(disk.pages.pins.tryBeginRelease(0..<1))
        disk.pages.pins.endRelease(0..<1)
    }

    @Test("a write does not keep a trim in another run from releasing memory")
    func farAway() throws {
        let disk = try RamDisk(size: 8 << 20, isSparse: true)
        write(7, to: disk, at: 4 << 20, count: 4096)
        _ = try #require(disk.pages.beginWrite(at: 0, count: 4096))
        disk.pages.trim(at: 4 << 20, count: 4096)
        #expect(disk.residentBytes == 4096)
        disk.pages.endWrite(at: 0, count: 4096)
    }

    @Test("a write that gets no memory leaves no pin behind")
    func refused() throws {
        // /dev/shm has a size limit, above which the kernel refuses memory at once.
        let name = "/dev/shm/ramdisk-nbd-test-\(UInt64.random(in: 0...(.max)))"
        defer { unsafe rmdir(name) }
        let disk = try RamDisk(
            backing: BackingLocation(name: "disk", directory: name), size: 1 << 44, isSparse: true)
        write(7, to: disk, at: 0, count: 4096)
        #expect(disk.pages.writeZeroes(at: 0, count: 1 << 44, keepSpace: true) == .noMemory)
        disk.pages.trim(at: 0, count: 4096)
        #expect(disk.residentBytes == 0)
    }

    @Test("on a large disk, too, a request pins only the runs that it touches")
    func largeDisk() throws {
        let disk = try RamDisk(size: 1 << 40, isSparse: true)
        for gibibyte in 1...40 as ClosedRange<UInt64> {
            write(7, to: disk, at: gibibyte << 30, count: 4096)
        }
        _ = try #require(disk.pages.beginWrite(at: 0, count: 1 << 20))
        var pins = try ReadPins(disk.pages.pins)
        _ = disk.pages.readable(at: 40 << 30, count: 4096, pins: &pins)
        #expect(disk.pages.trim(at: 1 << 30, count: 39 << 30) == .done)
        #expect(disk.residentBytes == 1 << 20 + 4096)
        pins.unpinAll()
        disk.pages.endWrite(at: 0, count: 1 << 20)
    }

    @Test("a range of any length is pinned in each of its runs")
    func wholeDisk() throws {
        let pageCount = 1 << 24
        let memory = try MemoryMapping(privateBytes: PagePins.byteCount(of: pageCount))
        let pins = PagePins(pageCount: pageCount, memory: memory.region)
        pins.pin(0..<pageCount)
        #expect(!pins.tryBeginRelease(5..<6))
        #expect(!pins.tryBeginRelease(pageCount - 1..<pageCount))
        pins.unpin(0..<pageCount)
        #expect(memory.region.isZero)
        #expect(pins.tryBeginRelease(5..<6))
        pins.endRelease(5..<6)
        #expect(memory.region.isZero)
    }

    @Test("a thread that waits for another to provision or release memory sleeps")
    func waitingSleeps() throws {
        let memory = try MemoryMapping(privateBytes: PagePins.byteCount(of: 256))
        let pins = PagePins(pageCount: 256, memory: memory.region)
        let works: [(@Sendable () -> Void, () -> Void)] = [
            (
                {
                    pins.beginProvisioning()
                    pins.endProvisioning()
                }, { pins.endProvisioning() }
            ),
            (
                {
                    pins.pin(0..<1)
                    pins.unpin(0..<1)
                }, { pins.endRelease(0..<1) }
            ),
            ({ pins.waitForReleasers(of: 0..<256) }, { pins.endRelease(0..<1) }),
        ]
        for (index, (wait, release)) in works.enumerated() {
            if index == 0 {
                pins.beginProvisioning()
            } else {
                #expect(pins.tryBeginRelease(0..<1))
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

    @Test("one thread at a time provisions memory, and none is left asleep")
    func provisioningExclusion() throws {
        let memory = try MemoryMapping(privateBytes: PagePins.byteCount(of: 1))
        let pins = PagePins(pageCount: 1, memory: memory.region)
        let inside = Shared()
        let meetings = Shared()
        let threads = try (0..<4).map { _ in
            try LinuxIO.Thread(name: "provisioner") {
                for _ in 0..<20_000 {
                    pins.beginProvisioning()
                    if inside.count.add(1, ordering: .sequentiallyConsistent).oldValue != 0 {
                        meetings.count.add(1, ordering: .relaxed)
                    }
                    inside.count.subtract(1, ordering: .sequentiallyConsistent)
                    pins.endProvisioning()
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(meetings.count.load(ordering: .relaxed) == 0)
        #expect(memory.region.isZero)
    }

    @Test("no thread releases memory while another has it pinned")
    func exclusion() throws {
        let memory = try MemoryMapping(privateBytes: PagePins.byteCount(of: 512))
        let pins = PagePins(pageCount: 512, memory: memory.region)
        let writers = Shared()
        let releasers = Shared()
        let meetings = Shared()
        let thread = try LinuxIO.Thread(name: "releaser") {
            for _ in 0..<200_000 where pins.tryBeginRelease(0..<1) {
                releasers.count.add(1, ordering: .sequentiallyConsistent)
                if writers.count.load(ordering: .sequentiallyConsistent) != 0 {
                    meetings.count.add(1, ordering: .relaxed)
                }
                releasers.count.subtract(1, ordering: .sequentiallyConsistent)
                pins.endRelease(0..<1)
            }
        }
        for _ in 0..<200_000 {
            pins.pin(0..<300)
            writers.count.add(1, ordering: .sequentiallyConsistent)
            if releasers.count.load(ordering: .sequentiallyConsistent) != 0 {
                meetings.count.add(1, ordering: .relaxed)
            }
            writers.count.subtract(1, ordering: .sequentiallyConsistent)
            pins.unpin(0..<300)
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

/// An integer that threads share.
private final class Shared: Sendable {
    let count = Atomic<Int>(0)
}

/// Returns the processor time of this thread.
private func processorNanoseconds() -> Int {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
