import Glibc
import LinuxIO
import Synchronization
import SystemPackage
import Testing

@testable import NBDServer

@Suite("The disk")
struct RamDiskTests {
    @Test("has a size of at least one page; other sizes are errors with a reason")
    func sizes() throws {
        #expect(try RamDisk(size: 4096).size == 4096)
        #expect(try RamDisk(size: 4097).size == 4097)
        #expect(throws: RamDiskError.sizeOutOfRange(4095)) { try RamDisk(size: 4095) }
        #expect(throws: RamDiskError.sizeOutOfRange(1 << 63)) { try RamDisk(size: 1 << 63) }
        #expect(throws: RamDiskError.self) { try RamDisk(size: 1 << 50) }
        #expect(throws: RamDiskError.self) {
            try RamDisk(size: RamDisk.largestSize, isSparse: true)
        }
        #expect(try RamDisk(size: 1 << 40, isSparse: true).residentBytes == 0)
    }

    @Test("has all its memory from the start, and keeps it, when it is plain")
    func provisioned() throws {
        let disk = try RamDisk(size: 1 << 20)
        #expect(disk.residentBytes == 1 << 20)
        disk.pages.trim(at: 0, count: 1 << 20)
        #expect(disk.residentBytes == 1 << 20)
    }

    @Test("takes memory by the page, and releases whole pages, when it is sparse")
    func sparse() throws {
        let disk = try RamDisk(size: 1 << 20, isSparse: true)
        write(to: disk, at: 4095, count: 2)
        #expect(disk.residentBytes == 2 * 4096)
        disk.pages.trim(at: 1, count: 8190)
        #expect(disk.residentBytes == 2 * 4096)
        disk.pages.trim(at: 0, count: 4096)
        #expect(disk.residentBytes == 4096)
        #expect(disk.pages.writeZeroes(at: 1 << 16, count: 1 << 16, keepSpace: true) == .done)
        #expect(disk.residentBytes == 4096 + 1 << 16)
        #expect(disk.pages.writeZeroes(at: 0, count: 1 << 20, keepSpace: false) == .done)
        #expect(disk.residentBytes == 0)
    }

    @Test("releases a last page that is used in part when its used part is trimmed")
    func oddEnd() throws {
        let disk = try RamDisk(size: 10_000, isSparse: true)
        write(to: disk, at: 9_999, count: 1)
        #expect(disk.residentBytes == 4096)
        disk.pages.trim(at: 8192, count: 10_000 - 8192)
        #expect(disk.residentBytes == 0)
    }

    @Test("takes no memory when an empty range of a sparse disk is read")
    func readingTakesNothing() throws {
        let disk = try RamDisk(size: 64 << 20, isSparse: true)
        write(to: disk, at: 8 << 20, count: 1)
        var offset: UInt64 = 0
        var bytes = 0
        while offset < disk.size {
            let slice = disk.pages.look(at: offset, count: disk.size - offset)
            bytes += slice.bytes.count { $0 != 0 }
            offset += UInt64(slice.count)
        }
        #expect(offset == disk.size)
        #expect(bytes == 1)
        #expect(disk.residentBytes == 4096)
    }

    @Test("trims an enormous empty disk at once")
    func enormousTrim() throws {
        let disk = try RamDisk(size: 1 << 40, isSparse: true)
        write(to: disk, at: 1 << 39, count: 4096)
        disk.pages.trim(at: 0, count: 1 << 40)
        #expect(disk.residentBytes == 0)
    }

    @Test(
        "keeps the data of two writers of different sectors of a page while other pages are trimmed",
        arguments: [false, true])
    func twoWriters(isSparse: Bool) throws {
        let disk = try RamDisk(size: 64 << 12, isSparse: isSparse)
        let rounds = 300
        // Each thread writes its own sector of every page; a third trims the pages behind them.
        let threads = try (0..<2).map { index in
            try LinuxIO.Thread(name: "writer") {
                for round in 0..<rounds {
                    for page in 0..<32 as Range<UInt64> {
                        let offset = page << 12 + UInt64(index) * 512
                        guard let target = disk.pages.beginWrite(at: offset, count: 512) else {
                            return
                        }
                        target.copy(from: [UInt8](repeating: UInt8(round % 255 + 1), count: 512))
                        disk.pages.endWrite(at: offset, count: 512)
                        let back = disk.pages.look(at: offset, count: 512)
                        if back.bytes != [UInt8](repeating: UInt8(round % 255 + 1), count: 512) {
                            Issue.record("a finished write is lost")
                            return
                        }
                    }
                }
            }
        }
        let trimmer = try LinuxIO.Thread(name: "trimmer") {
            for _ in 0..<rounds { disk.pages.trim(at: 32 << 12, count: 32 << 12) }
        }
        for thread in threads + [trimmer] { thread.join() }
        for page in 0..<32 as Range<UInt64> {
            let slice = disk.pages.look(at: page << 12, count: 1024)
            #expect(slice.bytes.allSatisfy { $0 == UInt8((rounds - 1) % 255 + 1) })
        }
    }

    @Test(
        "has a mark for data that a write leaves in a page that is trimmed meanwhile",
        arguments: [false, true])
    func writeAgainstTrim(isSparse: Bool) throws {
        let disk = try RamDisk(size: 4096 * 4, isSparse: isSparse)
        let flag = Flag()
        let trimmer = try LinuxIO.Thread(name: "trimmer") {
            while !flag.isSet { disk.pages.trim(at: 0, count: 4096 * 4) }
        }
        for round in 0..<20_000 {
            guard let target = disk.pages.beginWrite(at: 4096, count: 4096) else { break }
            target.copy(from: [UInt8](repeating: UInt8(round % 255 + 1), count: 4096))
            disk.pages.endWrite(at: 4096, count: 4096)
        }
        flag.set()
        trimmer.join()
        // Whichever came last, an unmarked page is zero.
        for page in 0..<4 where !disk.pages.map.isMarked(page) {
            let bytes = disk.pages.region.slice(at: page << 12, count: 4096).bytes
            #expect(bytes.allSatisfy { $0 == 0 })
        }
    }

    @Test(
        "survives reads, writes, trims and zeroes of the same sectors at the same time",
        arguments: [false, true])
    func everythingAtOnce(isSparse: Bool) throws {
        let disk = try RamDisk(size: 4 << 12, isSparse: isSparse)
        let pages = disk.pages
        let works: [@Sendable () -> Void] = [
            { pages.trim(at: 0, count: 4096) },
            { pages.trim(at: 0, count: 4 << 12) },
            { _ = pages.writeZeroes(at: 512, count: 3584, keepSpace: true) },
            { _ = pages.writeZeroes(at: 100, count: 8000, keepSpace: false) },
            {
                pages.beginWrite(at: 512, count: 512)?.zero()
                pages.endWrite(at: 512, count: 512)
            },
            {
                let slice = pages.look(at: 512, count: 8192)
                if slice.count == 0 { Issue.record("an empty slice") }
            },
        ]
        let threads = try works.map { work in
            try LinuxIO.Thread(name: "worker") { for _ in 0..<20_000 { work() } }
        }
        for thread in threads { thread.join() }
        extendLifetime(disk)
    }

    @Test("can be read while the page is written and trimmed all the time")
    func readingWhatComesAndGoes() throws {
        let disk = try RamDisk(size: 2 << 12, isSparse: true)
        let pages = disk.pages
        let flag = Flag()
        let toggler = try LinuxIO.Thread(name: "toggler") {
            for _ in 0..<50_000 {
                pages.beginWrite(at: 0, count: 4096)?.zero()
                pages.endWrite(at: 0, count: 4096)
                pages.trim(at: 0, count: 4096)
            }
            flag.set()
        }
        var isGood = true
        while !flag.isSet, isGood {
            let slice = pages.look(at: 512, count: 4096)
            isGood = slice.count == 4096 || slice.count == 3584
        }
        #expect(isGood)
        toggler.join()
        extendLifetime(disk)
    }

    @Test(
        "has zeroed a range when the request is acknowledged, though a larger trim around it has not ended"
    )
    func zeroesInsideTrim() throws {
        let disk = try RamDisk(size: 64 << 20)
        let pages = disk.pages
        for _ in 0..<20 {
            let all = try #require(pages.beginWrite(at: 0, count: disk.size))
            all.copy(from: [UInt8](repeating: 7, count: 1 << 20))
            pages.region.suffix(from: 63 << 20).copy(from: [UInt8](repeating: 7, count: 1 << 20))
            pages.endWrite(at: 0, count: disk.size)
            let thread = try LinuxIO.Thread(name: "trimmer") { pages.trim(at: 0, count: 64 << 20) }
            // The trimmer zeroes the last page last, some milliseconds after it has cleared its
            // mark.
            while pages.map.isMarked((64 << 8) - 1) {}
            _ = pages.writeZeroes(at: (64 << 20) - 4096, count: 4096, keepSpace: false)
            let bytes = pages.look(at: (64 << 20) - 4096, count: 4096).bytes
            #expect(bytes.allSatisfy { $0 == 0 })
            thread.join()
        }
    }

    @Test("loads a file, and takes no memory for pages of zeroes in it")
    func load() throws {
        let path = "/tmp/ramdisk-nbd-load-\(UInt64.random(in: 0...(.max)))"
        defer { unsafe unlink(path) }
        let content =
            pattern(5000) + [UInt8](repeating: 0, count: 3 << 20) + pattern(1000, seed: 2)
        let file = try FileDescriptor.open(
            FilePath(path), .writeOnly, options: .create, permissions: .ownerReadWrite)
        try file.closeAfter { _ = try file.writeAll(content) }

        let disk = try RamDisk(size: 4 << 20, isSparse: true)
        try disk.load(path: path)
        #expect(disk.residentBytes <= 4 * 4096)
        #expect(Array(disk.pages.region.bytes.prefix(content.count)) == content)
        #expect(!disk.pages.extent(at: 0, count: 8192).isEmpty)
        #expect(disk.pages.extent(at: 8192, count: 3 << 20).isEmpty)

        let small = try RamDisk(size: 1 << 20)
        #expect(throws: RamDisk.LoadError.tooLong(path: path, size: 1 << 20)) {
            try small.load(path: path)
        }
        #expect(throws: RamDisk.LoadError.self) { try small.load(path: "/there/is/none") }
    }

    @Test("does not read holes of a file")
    func loadHoles() throws {
        let path = "/tmp/ramdisk-nbd-holes-\(UInt64.random(in: 0...(.max)))"
        defer { unsafe unlink(path) }
        let file = try FileDescriptor.open(
            FilePath(path), .readWrite, options: .create, permissions: .ownerReadWrite)
        let end: Int64 = 20 << 30
        try file.closeAfter {
            try file.writeAll(toAbsoluteOffset: 10 << 30, pattern(5000))
            try file.writeAll(toAbsoluteOffset: end - 3, [1, 2, 3])
        }
        let disk = try RamDisk(size: UInt64(end) + 4096, isSparse: true)
        let before = try readBytes()
        try disk.load(path: path)
        #expect(try readBytes() - before < 1 << 20)
        #expect(disk.residentBytes <= 4 * 4096)
        #expect(disk.pages.look(at: 10 << 30, count: 5000).bytes == pattern(5000))
        #expect(disk.pages.look(at: UInt64(end) - 3, count: 3).bytes == [1, 2, 3])
        let small = try RamDisk(size: 1 << 20)
        #expect(throws: RamDisk.LoadError.tooLong(path: path, size: 1 << 20)) {
            try small.load(path: path)
        }
    }

    @Test("loads a file that is not regular to its end")
    func loadPipe() throws {
        let path = "/tmp/ramdisk-nbd-fifo-\(UInt64.random(in: 0...(.max)))"
        defer { unsafe unlink(path) }
        try #require(unsafe mkfifo(path, 0o600) == 0)
        let thread = try LinuxIO.Thread(name: "writer") {
            guard let pipe = try? FileDescriptor.open(FilePath(path), .writeOnly) else { return }
            _ = try? pipe.closeAfter { try pipe.writeAll(pattern(100_000)) }
        }
        let disk = try RamDisk(size: 1 << 20)
        try disk.load(path: path)
        thread.join()
        #expect(disk.pages.look(at: 0, count: 100_000).bytes == pattern(100_000))
    }

    /// Returns the bytes that this thread has read from files. proc(5), `/proc/pid/task/tid/io`
    private func readBytes() throws -> Int {
        let file = try InputFile(path: "/proc/thread-self/io")
        let buffer = try MemoryMapping(privateBytes: 4096)
        let count = try file.read(into: buffer.region)
        let text = String(decoding: buffer.region.slice(at: 0, count: count).bytes, as: UTF8.self)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("rchar:") })
        return try #require(line.split(separator: " ").last.flatMap { Int($0) })
    }

    private func write(to disk: RamDisk, at offset: UInt64, count: UInt64) {
        disk.pages.beginWrite(at: offset, count: count)?.copy(from: pattern(Int(count)))
        disk.pages.endWrite(at: offset, count: count)
    }
}

/// A flag that one thread sets and another reads.
private final class Flag: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .acquiring) }
    func set() { flag.store(true, ordering: .releasing) }
}
