import LinuxIO
import Testing

@testable import NBDServer

@Suite("The allocation map")
struct AllocationMapTests {
    @Test(
        "marks and clears exactly the pages of a range",
        arguments: [
            0..<1, 0..<64, 63..<65, 1..<64, 64..<128, 60..<200, 0..<300, 299..<300,
        ])
    func exact(range: Range<Int>) throws {
        let memory = try MemoryMapping(privateBytes: AllocationMap.byteCount(of: 300))
        let map = AllocationMap(pageCount: 300, memory: memory.region)
        defer { extendLifetime(memory) }
        map.mark(range)
        #expect(marked(map) == Array(range))
        map.mark(0..<300)
        map.clear(range)
        #expect(marked(map) == (0..<300).filter { !range.contains($0) })
    }

    @Test("finds the first page with or without a mark, or returns the limit")
    func runs() throws {
        let memory = try MemoryMapping(privateBytes: AllocationMap.byteCount(of: 1000))
        let map = AllocationMap(pageCount: 1000, memory: memory.region)
        defer { extendLifetime(memory) }
        expect(map.first(marked: true, from: 0, limit: 1000), 1000)
        expect(map.first(marked: false, from: 0, limit: 1000), 0)
        map.mark(100..<700)
        expect(map.first(marked: true, from: 0, limit: 1000), 100)
        expect(map.first(marked: true, from: 0, limit: 50), 50)
        expect(map.first(marked: false, from: 100, limit: 1000), 700)
        expect(map.first(marked: false, from: 100, limit: 650), 650)
        expect(map.first(marked: true, from: 699, limit: 1000), 699)
        expect(map.first(marked: true, from: 700, limit: 1000), 1000)
        expect(map.first(marked: true, from: 1000, limit: 1000), 1000)
    }

    /// The pages that are marked.
    private func marked(_ map: AllocationMap) -> [Int] {
        var pages: [Int] = []
        for page in 0..<map.pageCount where map.isMarked(page) { pages.append(page) }
        return pages
    }

    private func expect(
        _ page: Int, _ expected: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(page == expected, sourceLocation: sourceLocation)
    }
}
