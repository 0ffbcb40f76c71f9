import LinuxIO
import NBDProtocol
import Synchronization
import Testing

@testable import NBDServer

@Suite("Zeroing")
struct ZeroingTests {
    @Test("a thread zeroes the pages that another thread has published, and nothing beside them")
    func zeroedElsewhere() throws {
        let disk = try dirtyDisk(size: 8 << 20, marked: false)
        let pages = disk.pages
        // Another thread has cleared the marks of three pages, and has not zeroed them.
        let slot = try #require(pages.zeroing.begin(2..<5))
        #expect(pages.trim(at: 3 << 12, count: (8 << 20) - 3 << 12) == .done)
        #expect(dirtyPages(of: disk) == Array(0..<3) + Array(5..<2048))
        #expect(pages.writeZeroes(at: 0, count: 2 << 12, keepSpace: true) == .done)
        #expect(dirtyPages(of: disk) == Array(0..<3) + Array(5..<2048))
        // A part of a published page: the rest of the page is not in the range.
        #expect(pages.writeZeroes(at: (2 << 12) + 512, count: 512, keepSpace: false) == .done)
        #expect(pages.region.slice(at: (2 << 12) + 512, count: 512).isZero)
        #expect(pages.region.slice(at: 2 << 12, count: 512).bytes.allSatisfy { $0 == 7 })
        pages.zeroing.end(slot)
        #expect(pages.trim(at: 0, count: 8 << 20) == .done)
        #expect(pages.region.slice(at: 2 << 12, count: 512).bytes.allSatisfy { $0 == 7 })
    }

    @Test("a thread publishes its pages piece by piece, and none where all are empty")
    func pieces() throws {
        let disk = try dirtyDisk(size: 64 << 20, marked: true)
        let pages = disk.pages
        #expect(pages.zeroing.slotCount == 0)
        let longest = Atomic<Int>(0)
        let thread = try LinuxIO.Thread(name: "trimmer") { pages.trim(at: 0, count: 64 << 20) }
        while pages.map.isMarked((64 << 8) - 1) {
            let all = 0..<pages.map.pageCount
            let count = pages.zeroing.pages(in: 1, within: all)?.count ?? 0
            longest.max(count, ordering: .relaxed)
        }
        thread.join()
        #expect(longest.load(ordering: .relaxed) <= 1024)
        #expect(pages.region.isZero)
        // An empty disk has nothing to zero.
        let other = try RamDisk(size: 64 << 20)
        #expect(other.pages.trim(at: 0, count: 64 << 20) == .done)
        #expect(other.pages.zeroing.slotCount == 0)
    }

    @Test("without a free slot the marks stay, and the bytes are zeroed")
    func noSlot() throws {
        let disk = try dirtyDisk(size: 1 << 20, marked: true)
        let zeroing = disk.pages.zeroing
        var slots: [Int] = []
        while let slot = zeroing.begin(0..<1) { slots.append(slot) }
        #expect(slots.count == 1024)
        #expect(disk.pages.trim(at: 0, count: 1 << 20) == .done)
        #expect(disk.pages.region.isZero)
        #expect(disk.pages.map.isMarked(0))
        for slot in slots { zeroing.end(slot) }
        #expect(disk.pages.trim(at: 0, count: 1 << 20) == .done)
        #expect(disk.isBlank)
    }

    @Test("the first and the last pages of the largest disk fit in a slot")
    func largest() throws {
        let memory = try MemoryMapping(privateBytes: ZeroingRanges.byteCount)
        let zeroing = ZeroingRanges(memory: memory.region)
        let count = DiskPages.count(of: RamDisk.largestSize)
        let first = try #require(zeroing.begin(0..<1024))
        let last = try #require(zeroing.begin(count - 1024..<count))
        #expect(zeroing.slotCount == 2)
        #expect(zeroing.pages(in: first, within: 0..<count) == 0..<1024)
        #expect(zeroing.pages(in: last, within: 0..<count) == count - 1024..<count)
        #expect(zeroing.pages(in: last, within: 0..<count - 1024) == nil)
        zeroing.end(last)
        #expect(zeroing.pages(in: last, within: 0..<count) == nil)
    }

    @Test("a stop ends zeroing between two pieces", arguments: [false, true])
    func stops(keepSpace: Bool) throws {
        for isSparse in [false, true] {
            let disk = try dirtyDisk(size: 64 << 20, marked: true, isSparse: isSparse)
            let memory = try MemoryMapping(privateBytes: StopSignal.byteCount)
            let stop = StopSignal(memory: memory.region)
            stop.set()
            let result = disk.pages.writeZeroes(
                at: 0, count: 64 << 20, keepSpace: keepSpace, stop: stop)
            #expect(result == .stopped)
            #expect(dirtyPages(of: disk).count == disk.pages.map.pageCount)
            #expect(disk.pages.map.first(marked: false, from: 0, limit: 64 << 8) == 64 << 8)
            extendLifetime(memory)
        }
    }

    @Test("a stop ends it while memory is provisioned")
    func stopsProvisioning() throws {
        let disk = try RamDisk(size: 64 << 20, isSparse: true)
        let memory = try MemoryMapping(privateBytes: StopSignal.byteCount)
        let stop = StopSignal(memory: memory.region)
        stop.set()
        let result = disk.pages.writeZeroes(at: 0, count: 64 << 20, keepSpace: true, stop: stop)
        #expect(result == .stopped)
        #expect(disk.residentBytes == 0)
        extendLifetime(memory)
    }

    @Test(
        "a stop does not wait for a long request, which fails",
        arguments: [false, true])
    func stopInTrim(keepsSpace: Bool) throws {
        // The request may end before the stop, or begin after it: then this tries again.
        for _ in 0..<50 {
            let disk = try RamDisk(size: 256 << 20)
            let map = disk.pages.map
            map.mark(0..<map.pageCount)
            disk.pages.region.slice(at: 0, count: 1).copy(from: [1])
            let server = try makeServer(disk)
            let client = try TestClient(to: server, export: "disk")
            let request = Request(
                .writeZeroes, flags: keepsSpace ? .noHole : [], cookie: 1, offset: 0,
                length: disk.size)
            try client.send(request.encoded)
            while !disk.pages.region.slice(at: 0, count: 1).isZero {}
            server.stop()
            let reply = try client.reply()
            if reply.error == .shutdown, keepsSpace || map.isMarked(map.pageCount - 1) { return }
            #expect(reply.error == .none)
        }
        Issue.record("no stop came during a request")
    }

    @Test("of many threads that zero overlapping ranges, each returns when its range is zero")
    func together() throws {
        let disk = try RamDisk(size: 32 << 20)
        let pages = disk.pages
        let failures = Atomic<Int>(0)
        try withThreads(4) { index in
            // Each thread has pages of its own in the middle of the range that all zero.
            let own = UInt64(index * 8 + 3) << 20 + 512
            for round in 0..<200 {
                guard let target = pages.beginWrite(at: own, count: 100_000) else { return }
                target.copy(from: [UInt8](repeating: UInt8(round % 255 + 1), count: 100_000))
                pages.endWrite(at: own, count: 100_000)
                let isWhole = round % 2 == 0
                let result = pages.writeZeroes(
                    at: isWhole ? 0 : own, count: isWhole ? 32 << 20 : 100_000, keepSpace: false)
                let isZero = pages.look(at: own, count: 100_000).isZero
                if result != .done || !isZero { failures.add(1, ordering: .relaxed) }
            }
        }
        #expect(failures.load(ordering: .relaxed) == 0)
        for page in 0..<pages.map.pageCount where !pages.map.isMarked(page) {
            #expect(pages.region.slice(at: page << 12, count: 4096).isZero)
        }
    }

    private func withThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
        let threads = try (0..<count).map { index in
            try LinuxIO.Thread(name: "worker") { body(index) }
        }
        for thread in threads { thread.join() }
    }

    /// Makes a disk on which every byte is 7. Without marks, it is as if another thread had cleared
    /// them.
    private func dirtyDisk(
        size: UInt64, marked: Bool, isSparse: Bool = false
    ) throws -> RamDisk {
        let disk = try RamDisk(size: size, isSparse: isSparse)
        let target = try #require(disk.pages.beginWrite(at: 0, count: size))
        target.copy(from: [UInt8](repeating: 7, count: Int(size)))
        disk.pages.endWrite(at: 0, count: size)
        if !marked { disk.pages.map.clear(0..<disk.pages.map.pageCount) }
        return disk
    }

    private func dirtyPages(of disk: RamDisk) -> [Int] {
        (0..<disk.pages.map.pageCount).filter {
            !disk.pages.region.slice(at: $0 << 12, count: 4096).isZero
        }
    }
}
