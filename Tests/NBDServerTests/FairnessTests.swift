import LinuxIO
import Synchronization
import Testing

@testable import NBDServer

@Suite("Clients of one disk")
struct FairnessTests {
    @Test("a long request for memory lets other clients have some in between")
    func longProvisioning() throws {
        // The long request may end before this thread gets its turn: then this tries again.
        for _ in 0..<50 {
            let disk = try RamDisk(size: 256 << 20, isSparse: true)
            let pages = disk.pages
            let last = (128 << 8) - 1
            let thread = try LinuxIO.Thread(name: "zeroer") {
                _ = pages.writeZeroes(at: 0, count: 128 << 20, keepSpace: true)
            }
            while !pages.map.isMarked(0) {}
            _ = try #require(pages.beginWrite(at: 200 << 20, count: 4096))
            let isBetween = !pages.map.isMarked(last)
            pages.endWrite(at: 200 << 20, count: 4096)
            thread.join()
            #expect(disk.residentBytes == 128 << 20 + 4096)
            if isBetween { return }
        }
        Issue.record("no write had its turn during a long request")
    }

    @Test("a trim that waits for other clients' memory does not keep readers waiting")
    func waitingTrim() throws {
        let disk = try RamDisk(size: 1 << 20, isSparse: true)
        let pages = disk.pages
        pages.beginWrite(at: 0, count: 4096)?.copy(from: [UInt8](repeating: 7, count: 4096))
        pages.endWrite(at: 0, count: 4096)
        pages.pins.beginProvisioning()
        let thread = try LinuxIO.Thread(name: "trimmer") { pages.trim(at: 0, count: 1 << 20) }
        Thread.sleep(milliseconds: 100)
        // A reader would sleep here if the trim had registered before it waited.
        var pins = try ReadPins(pages.pins)
        let read = pages.readable(at: 0, count: 4096, pins: &pins)
        #expect(read.bytes.allSatisfy { $0 == 7 })
        pages.pins.endProvisioning()
        thread.join()
        #expect(read.isZero)
        pins.unpinAll()
    }

    @Test("a request for more memory than the disk may take leaves none behind")
    func tooLong() throws {
        let disk = try RamDisk(size: 1 << 42, isSparse: true)
        var pages = disk.pages
        pages.memoryLimit = 64 << 20
        #expect(pages.writeZeroes(at: 0, count: 48 << 20, keepSpace: true) == .done)
        #expect(pages.writeZeroes(at: 40 << 20, count: 32 << 20, keepSpace: true) == .noMemory)
        #expect(disk.residentBytes == 48 << 20)
        #expect(pages.writeZeroes(at: 32 << 20, count: 32 << 20, keepSpace: true) == .done)
        #expect(disk.residentBytes == 64 << 20)
    }
}

@Suite("A fair lock")
final class FairLockTests {
    private let memory: MemoryMapping
    private let words: AtomicWords
    private let lock: FairLock

    init() throws {
        memory = try MemoryMapping(privateBytes: FairLock.byteCount)
        words = AtomicWords(memory.region)
        lock = FairLock(words, at: 0)
    }

    @Test("a thread that has waited long is counted, until it has had the lock")
    func starving() throws {
        let (lock, words) = (lock, words)
        lock.lock()
        let thread = try LinuxIO.Thread(name: "waiter") {
            lock.lock()
            lock.unlock()
        }
        // Another thread was faster each time that the waiter woke up.
        for _ in 0..<1000 where words.load(1) == 0 {
            Thread.sleep(milliseconds: 2)
            words.wake(0, all: true)
        }
        #expect(words.load(1) == 1)
        lock.unlock()
        thread.join()
        #expect(memory.region.isZero)
    }

    @Test("while one thread starves, those that come later wait, though the lock is free")
    func later() throws {
        let (lock, words) = (lock, words)
        words.store(1, 1)
        let hadLock = Flag()
        let thread = try LinuxIO.Thread(name: "later") {
            lock.lock()
            hadLock.value.store(true, ordering: .releasing)
            lock.unlock()
        }
        Thread.sleep(milliseconds: 100)
        let hadItEarly = hadLock.value.load(ordering: .acquiring)
        #expect(!hadItEarly)
        words.store(1, 0)
        words.wake(1, all: true)
        thread.join()
        #expect(memory.region.isZero)
    }

    @Test("a thread that takes the lock again and again does not keep it from another")
    func again() throws {
        let lock = lock
        let isOver = Flag()
        let thread = try LinuxIO.Thread(name: "hog") {
            while !isOver.value.load(ordering: .acquiring) {
                lock.lock()
                let end = MonotonicTime.now().nanoseconds + 200_000
                while MonotonicTime.now().nanoseconds < end {}
                lock.unlock()
            }
        }
        // Without the limit this may never return.
        for _ in 0..<100 {
            lock.lock()
            lock.unlock()
        }
        isOver.value.store(true, ordering: .releasing)
        thread.join()
        #expect(memory.region.isZero)
    }

    @Test("one thread at a time has it, and none is left asleep")
    func exclusion() throws {
        let lock = lock
        let inside = Count()
        let meetings = Count()
        let threads = try (0..<4).map { index in
            try LinuxIO.Thread(name: "locker") {
                for round in 0..<5_000 {
                    lock.lock()
                    if inside.value.add(1, ordering: .sequentiallyConsistent).oldValue != 0 {
                        meetings.value.add(1, ordering: .relaxed)
                    }
                    // Long enough, now and then, that the others starve.
                    if round % 1000 == index { Thread.sleep(milliseconds: 3) }
                    inside.value.subtract(1, ordering: .sequentiallyConsistent)
                    lock.unlock()
                }
            }
        }
        for thread in threads { thread.join() }
        let meetingCount = meetings.value.load(ordering: .relaxed)
        #expect(meetingCount == 0)
        #expect(memory.region.isZero)
    }
}

/// A truth value that threads share.
private final class Flag: Sendable {
    let value = Atomic<Bool>(false)
}

/// An integer that threads share.
private final class Count: Sendable {
    let value = Atomic<Int>(0)
}
